// What the algorithms between hosts cost on one rail. Part of the cost model; called by cost_model.cc only.
#pragma once

#include "ring/topology/cost_model.h"

namespace ring {

// A message between neighbours on one of the rails that share the links of their hosts, all at the same time.
// It goes as frames of c bytes; the first needs `hop` to arrive and be reduced, the receiver is done with the
// others `rest` later:
//
//   hop(m)  = alpha + min(m, c) * (wire + gamma)
//   rest(m) = max(b*spacing, k*frame + b*gamma)     for the k other frames with their b = m - c bytes
//
// wire is the time per byte of one frame, on its one stream; spacing that of many, on all streams.
class Rail {
  public:
    Rail(const Machine& machine, const Plan& plan);

    double hop(double m, bool reduces) const;
    double rest(double m, bool reduces) const;
    double message(double m, bool reduces) const { return hop(m, reduces) + rest(m, reduces); }
    // How long all frames of a message keep the link, or the rank that receives them.
    double whole(double m, bool reduces) const;
    double frames(double m) const;

  private:
    double occupied(double m, double count, bool reduces) const;

    double latency_, frame_, wire_, spacing_, gamma_, chunk_;
};

struct RailCost {
    int steps = 0;  // messages that must follow one another
    double seconds = 0;
    double bytes = 0;   // this rail's, over the busiest host's link in its busier direction
    double frames = 0;  // that the busiest rank receives
};

// `bytes` of the tensor on a rail between hosts >= 2.
RailCost rail_cost(RailAlgorithm algorithm, Collective kind, int hosts, double bytes, const Rail& rail);

}  // namespace ring
