// See rail_cost.h, and cost_model.h for where the algorithms are from.
//
// The ring: frame i of step j can leave when frame i of step j-1 has come and frame i-1 of step j is gone.
// That is a longest path: of the J*k frames of J steps in a row, one follows its predecessor by one interval
// (an edge), and the one k before it by one hop. So the last frame leaves, with equal steps, after
//
//   (J - 1) * max(hop, k intervals) + (k - 1) intervals
//
// in every step either its latency counts or its bytes do, never both. The recursive algorithms end one
// exchange before the next begins.
#include "ring/topology/rail_cost.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ring {
namespace {

void add_exchanges(RailCost& cost, const Rail& rail, int count, double m, bool reduces) {
    cost.steps += count;
    cost.seconds += count * rail.message(m, reduces);
    cost.bytes += count * m;
    cost.frames += count * rail.frames(m);
}

// `count` steps of the ring, all but its last one.
void add_steps(RailCost& cost, const Rail& rail, int count, double m, bool reduces) {
    cost.steps += count;
    cost.seconds += count * std::max(rail.hop(m, reduces), rail.whole(m, reduces));
    cost.bytes += count * m;
    cost.frames += count * rail.frames(m);
}

// Recursive algorithms work on a power of two of hosts. Those beyond it hand what they have, `in`, to a
// partner first and get `out` from it at the end; the partner receives the one and sends the other.
void add_fold(RailCost& cost, const Rail& rail, double in, bool reduces, double out) {
    const double both_ways = cost.bytes + std::max(in, out);
    add_exchanges(cost, rail, 1, in, reduces);
    add_exchanges(cost, rail, 1, out, false);
    cost.bytes = both_ways;
}

int log2_floor(int n) {
    return static_cast<int>(std::bit_width(static_cast<unsigned>(n))) - 1;
}

int log2_ceil(int n) {
    return static_cast<int>(std::bit_width(static_cast<unsigned>(n - 1)));
}

RailCost ring_cost(Collective kind, int hosts, double b, const Rail& rail) {
    RailCost cost;
    const CollectiveTraits& traits = traits_of(kind);
    if (traits.rooted) {  // one message, frame by frame through all hosts
        cost = {hosts - 1, (hosts - 1) * rail.hop(b, false) + rail.rest(b, false), b, rail.frames(b)};
        return cost;
    }
    const double part = b / hosts;
    const bool reduces = traits.reduces;
    const bool gathers = !traits.inputs;
    if (reduces) add_steps(cost, rail, hosts - (gathers ? 1 : 2), part, true);
    if (gathers) add_steps(cost, rail, hosts - 2, part, false);
    add_exchanges(cost, rail, 1, part, !gathers);
    return cost;
}

RailCost doubling_cost(Collective kind, int hosts, double b, const Rail& rail) {
    RailCost cost;
    const int exchanges = log2_floor(hosts);
    const bool fold = 1 << exchanges < hosts;
    if (traits_of(kind).outputs) {
        for (int i = 0; i < exchanges; ++i)
            add_exchanges(cost, rail, 1, b * (1 << i) / (1 << exchanges), false);
        if (fold) add_fold(cost, rail, b / hosts, false, b);
    } else {  // all_reduce, and barrier, which is one of nothing
        add_exchanges(cost, rail, exchanges, b, true);
        if (fold) add_fold(cost, rail, b, true, b);
    }
    return cost;
}

RailCost halving_doubling_cost(Collective kind, int hosts, double b, const Rail& rail) {
    RailCost cost;
    const int exchanges = log2_floor(hosts);
    const bool gathers = !traits_of(kind).inputs;
    for (int i = 1; i <= exchanges; ++i) {
        add_exchanges(cost, rail, 1, b / (1 << i), true);
        if (gathers) add_exchanges(cost, rail, 1, b / (1 << i), false);
    }
    if (1 << exchanges < hosts) add_fold(cost, rail, b, true, gathers ? b : b / hosts);
    return cost;
}

RailCost tree_cost(int hosts, double b, const Rail& rail) {
    RailCost cost;
    add_exchanges(cost, rail, log2_ceil(hosts), b,
                  false);  // the bytes are those of the root, which sends in each
    return cost;
}

}  // namespace

Rail::Rail(const Machine& machine, const Plan& plan)
    : latency_(machine.link.latency_s),
      frame_(machine.link.frame_s),
      wire_(std::max(machine.link.seconds_per_byte * plan.rails, machine.stream_seconds_per_byte)),
      spacing_(std::max(machine.link.seconds_per_byte * plan.rails,
                        machine.stream_seconds_per_byte / plan.streams)),
      gamma_(machine.host.reduce_seconds_per_byte),
      chunk_(static_cast<double>(plan.chunk_bytes)) {}

double Rail::frames(double m) const {
    return std::max(1.0, std::ceil(m / chunk_));
}

double Rail::occupied(double m, double count, bool reduces) const {
    return std::max(m * spacing_, count * frame_ + (reduces ? m * gamma_ : 0));
}

double Rail::hop(double m, bool reduces) const {
    return latency_ + std::min(m, chunk_) * (wire_ + (reduces ? gamma_ : 0));
}

double Rail::rest(double m, bool reduces) const {
    return m <= chunk_ ? 0 : occupied(m - chunk_, frames(m) - 1, reduces);
}

double Rail::whole(double m, bool reduces) const {
    return occupied(m, frames(m), reduces);
}

RailCost rail_cost(RailAlgorithm algorithm, Collective kind, int hosts, double bytes, const Rail& rail) {
    switch (algorithm) {
        case RailAlgorithm::kRing:
            return ring_cost(kind, hosts, bytes, rail);
        case RailAlgorithm::kDoubling:
            return doubling_cost(kind, hosts, bytes, rail);
        case RailAlgorithm::kHalvingDoubling:
            return halving_doubling_cost(kind, hosts, bytes, rail);
        case RailAlgorithm::kTree:
            return tree_cost(hosts, bytes, rail);
        case RailAlgorithm::kCount:
            break;
    }
    return {};
}

}  // namespace ring
