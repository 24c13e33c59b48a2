// What goes over a link: frames. A fixed header, checked field by field against what the receiver expects,
// then payload.
//
// The signature in it is what all ranks must agree on for one operation; inside a host it travels through
// shared memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

#include "ring/base/error.h"
#include "ring/kernels/dtype.h"

namespace ring {

constexpr uint32_t kFrameMagic = 0x474e4952;  // "RING"
constexpr uint16_t kProtocolVersion = 5;

// Numeric values are part of the protocol.
enum class Collective : uint8_t {
    kNone = 0,
    kAllReduce,
    kBroadcast,
    kAllGather,
    kReduceScatter,
    kBarrier,
    kReduce,
    kGather,
    kScatter,
    kAllToAll,
    kSend,
    kRecv,
    kCount,
};

constexpr const char* name_of(Collective kind) {
    constexpr const char* kNames[] = {"nothing",        "all_reduce", "broadcast", "all_gather",
                                      "reduce_scatter", "barrier",    "reduce",    "gather",
                                      "scatter",        "all_to_all", "send",      "recv"};
    return kind < Collective::kCount ? kNames[static_cast<size_t>(kind)] : "unknown";
}

// What one rank called. `count` is in elements: of the tensor (all_reduce, reduce, broadcast, send, recv), of
// one rank's share (all_gather, reduce_scatter, gather, scatter), of all shares together where they differ in
// size (all_gather), 0 where only the ranks of a pair agree on it (all_to_all). `root`: of send and recv the
// peer; of shares that differ in size, which have no root, digest_of() them. No padding bytes, so that it can
// be compared and sent as it lies in memory.
struct Signature {
    uint64_t count = 0;
    int32_t root = -1;
    Collective kind = Collective::kNone;
    DType dtype = DType::kUInt8;
    ReduceOp op = ReduceOp::kNone;
    uint8_t uneven = 0;  // 1: the shares differ in size

    // Whether `root` is the number of a rank.
    bool names_rank() const { return root >= 0 && uneven == 0; }

    bool operator==(const Signature&) const = default;
};
static_assert(sizeof(Signature) == 16);

// Of the size of each rank's share: ranks whose lists differ, even by order alone, get different ones but
// for one case in 2^32.
int32_t digest_of(std::span<const uint64_t> shares);

// "all_reduce(float32[10])", "all_reduce(int64[3], MAX)", "broadcast(bfloat16[7], root 2)", "barrier()"
std::string describe(const Signature& signature);

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

struct FrameHeader {
    uint32_t magic = kFrameMagic;
    uint16_t version = kProtocolVersion;
    uint16_t reserved0 = 0;
    uint64_t group = 0;  // a random number that rank 0 drew for the group
    uint64_t operation = 0;
    Signature signature;
    uint64_t index = 0;    // of the frame among all of this direction of the link, from 1
    uint64_t length = 0;   // bytes of payload that follow
    uint64_t history = 0;  // of what the sender had called as operations before, see with_call()

    bool operator==(const FrameHeader&) const = default;
};
static_assert(sizeof(FrameHeader) == 64);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "frames are sent as they lie in memory, little-endian");

}  // namespace ring
