// Runs a collective at all sizes, times it, and checks what it did: libring's (libring.h), and those of the
// libraries that it is compared with (csrc/bench/peers).
#pragma once

#include <functional>
#include <vector>

#include "csv.h"
#include "statistics.h"
#include "tensors.h"
#include "values.h"

namespace ring_perf {

// Of one size, on one rank.
struct Result {
    Times times;
    size_t wrong = 0;  // elements
};

// One rank of a library.
class Library {
  public:
    virtual ~Library() = default;
    virtual int rank() const = 0;
    virtual int ranks() const = 0;
    // What runs the collective once on these tensors, which outlive it; empty where the library has none
    // such. May change where their output is.
    virtual std::function<void()> call_of(const Subject& subject, Tensors& tensors) = 0;
    virtual void barrier() = 0;
    // That of each rank, by rank.
    virtual std::vector<Result> gather(const Result& mine) = 0;
};

// Calls `report` on each rank with the row of each size, the same on all ranks; all of them must call this
// alike. Never where the library has no such collective. Returns whether all results were right. Throws what
// the library throws.
bool measure(Library& library, const Subject& subject, const Sweep& sweep,
             const std::function<void(const Row&)>& report);

}  // namespace ring_perf
