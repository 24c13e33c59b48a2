// The exchanges between hosts whose number of steps grows with the logarithm of the number of hosts.
//
// For two positions or more. The P = 2^k first positions of a rail are the corners of a hypercube: in step i
// two corners whose numbers differ in bit i exchange data. A position beyond P is the *twin* of the corner P
// below it, which speaks for both: the twin hands its data in before, and gets the result after. Recursive
// doubling and halving after Thakur, Rabenseifner and Gropp, "Optimization of collective communication
// operations in MPICH" (2005).
#pragma once

#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

class Hypercube {
  public:
    Hypercube(int position, int size);

    int corners() const { return corners_; }
    bool is_corner(int position) const { return position < corners_; }
    bool is_corner() const { return is_corner(position_); }
    // The other one of the pair, or -1.
    int twin() const;
    // The corner across dimension `distance` (a power of two below corners()).
    int across(int distance) const { return position_ ^ distance; }
    // The positions (twins too) that the `distance` corners around `corner` speak for.
    std::vector<int> block(int corner, int distance) const;
    // The positions that this one exchanges data with, in any of the algorithms.
    std::vector<int> partners() const;

  private:
    int position_;
    int size_;
    int corners_ = 1;
};

// All of them take their turn in lane kRail, and pass it. Partial sums and results as in rail.h.

// For small data: everyone ends with the sum over the rail of `count` partial elements in `result`, in the
// same order of addition. log2 P steps of all of them. May overwrite `partial`.
Task doubling_all_reduce(Context& context, std::byte* partial, std::byte* result, size_t count);

// For large data over many hosts: reduce-scatter by recursive halving, then all-gather by doubling. Each
// element is summed on one position only.
Task halving_all_reduce(Context& context, Extent partial, std::byte* result, size_t chunk);

// After it, every rank holds parts[p] of position p, for all p.
Task doubling_all_gather(Context& context, std::vector<Extents> parts, size_t chunk);

// After it, `result` (cut like parts[own position]) holds the sum of everyone's parts[own position]. `sums`
// has the shape of parts and takes partial sums.
Task halving_reduce_scatter(Context& context, std::vector<Extents> parts, std::vector<Extents> sums,
                            Extents result, size_t chunk);

// `data` of position `root` goes to all, by a binomial tree.
Task tree_broadcast(Context& context, int root, Extents data, size_t chunk);

}  // namespace ring
