// Ranks that called different things: how it is found from their signatures, and what is said of it. Used by
// the transports, which compare, and by the engine, which tells the user.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "ring/base/error.h"
#include "ring/base/signature.h"

namespace ring {

// The text of a MismatchError: "rank 2 called all_reduce(float32[10]), rank 0 all_reduce(float32[12]),
// operation 7".
std::string describe_mismatch(int rank_a, uint64_t op_a, const Signature& a, int rank_b, uint64_t op_b,
                              const Signature& b);

// What one rank called, and as which operation.
struct Called {
    int rank;
    uint64_t operation;
    Signature signature;
};

// Two ranks called different things. They are numbered as in their group; who knows how the user numbers them
// may tell again with renamed().
class DifferentCalls : public MismatchError {
  public:
    // `mine` is this rank's. Where their numbers differ, the earlier one can end nowhere either: whoever is
    // in it waits for a rank that has gone on.
    DifferentCalls(const Called& other, const Called& mine)
        : MismatchError(describe_mismatch(other.rank, other.operation, other.signature, mine.rank,
                                          mine.operation, mine.signature),
                        std::min(other.operation, mine.operation)),
          other_(other),
          mine_(mine) {}

    template <typename Rename>
    DifferentCalls renamed(Rename rename) const {
        const auto one = [&](Called called) {
            called.rank = rename(called.rank);
            if (called.signature.names_rank()) called.signature.root = rename(called.signature.root);
            return called;
        };
        return DifferentCalls(one(other_), one(mine_));
    }

  private:
    Called other_;
    Called mine_;
};

// The digest of a rank's calls so far, 0 for none, with one more. Operations that only send messages compare
// nothing where a rank has nothing to wait for; so all frames of later ones compare what went before.
uint64_t with_call(uint64_t history, const Signature& called);

// Two ranks called different things in some operation before this one. Numbered as in their group.
class DifferentPast : public MismatchError {
  public:
    DifferentPast(int peer, uint64_t operation, const Signature& called);
    int peer() const { return peer_; }
    const Signature& called() const { return called_; }

  private:
    int peer_;
    Signature called_;  // in this one
};

}  // namespace ring
