// What one rank called, as all ranks must agree on it: compared inside a host through shared memory, between
// hosts in the header of each frame and message. Used by every layer.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "ring/base/collective.h"
#include "ring/base/dtype.h"
#include "ring/base/reduce_op.h"

namespace ring {

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

// By what a group of so many ranks chooses how to run it, in bytes: of the tensor or of one rank's share, or
// of all shares together where the row says so.
size_t deciding_bytes(const Signature& signature, size_t ranks);

// "all_reduce(float32[10])", "all_reduce(int64[3], MAX)", "broadcast(bfloat16[7], root 2)", "barrier()"
std::string describe(const Signature& signature);

}  // namespace ring
