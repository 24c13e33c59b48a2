// The memory of one collective at one size, on one rank: where what it reads and writes lies, what it holds
// before a call that is checked, and what must have come out. The same for ring_perf and for the programs of
// csrc/bench/peers, so that all of them mean the same by a size.
#pragma once

#include <cstddef>
#include <vector>

#include "subject.h"

namespace ring_perf {

class Tensors {
  public:
    // `bytes` is the size of the larger of input and output, rounded down to what all ranks have equal shares
    // of. `subject` must outlive it.
    Tensors(const Subject& subject, int rank, int ranks, size_t bytes);

    size_t count() const { return total_; }  // elements of the larger of input and output
    size_t share() const { return share_; }  // of one rank's share; of the whole where there are no shares
    size_t bytes() const { return total_ * ring::size_of(subject_.dtype); }
    int rank() const { return rank_; }
    int ranks() const { return ranks_; }
    int next() const { return (rank_ + 1) % ranks_; }
    int before() const { return (rank_ + ranks_ - 1) % ranks_; }

    // Writes the input of a call that is to be checked.
    void fill();
    // How many elements are wrong after it.
    size_t wrong() const;

    void* input = nullptr;
    void* output = nullptr;      // a library that puts its result elsewhere changes it
    std::vector<void*> inputs;   // by rank, one after the other in memory; empty where there are no shares
    std::vector<void*> outputs;  // likewise

  private:
    size_t offset_of(int rank) const { return static_cast<size_t>(rank) * share_; }

    const Subject& subject_;
    const int rank_;
    const int ranks_;
    size_t share_ = 0;
    size_t total_ = 0;
    std::vector<std::byte> whole_;  // the larger of input and output
    std::vector<std::byte> other_;  // out of place: the other one
};

}  // namespace ring_perf
