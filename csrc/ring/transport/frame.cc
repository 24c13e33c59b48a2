// See frame.h.
#include "ring/transport/frame.h"

#include <array>
#include <bit>

namespace ring {

int32_t digest_of(std::span<const uint64_t> shares) {
    // FNV-1a, a share at a time, and its upper half, which has seen all bits.
    uint64_t hash = 0xcbf29ce484222325;
    for (const uint64_t share : shares) {
        hash = (hash ^ share) * 0x100000001b3;
        hash ^= hash >> 29;
    }
    return static_cast<int32_t>(hash * 0x9e3779b97f4a7c15 >> 32);
}

uint64_t with_call(uint64_t history, const Signature& called) {
    for (const uint64_t word : std::bit_cast<std::array<uint64_t, 2>>(called)) {
        history = (history ^ word) * 0x9e3779b97f4a7c15;
        history ^= history >> 32;
    }
    return history;
}

DifferentPast::DifferentPast(int peer, uint64_t operation, const Signature& called)
    : MismatchError("rank " + std::to_string(peer) + " called something else before operation " +
                        std::to_string(operation) + ", " + describe(called),
                    operation),
      peer_(peer),
      called_(called) {}

std::string describe(const Signature& signature) {
    std::string text = std::string(name_of(signature.kind)) + "(";
    if (signature.kind != Collective::kBarrier && signature.kind != Collective::kNone) {
        text += std::string(name_of(signature.dtype)) + "[" + std::to_string(signature.count) + "]";
        if (signature.uneven != 0) text += " in shares of different sizes";
        if (signature.op != ReduceOp::kNone && signature.op != ReduceOp::kSum)
            text += std::string(", ") + name_of(signature.op);
        const bool message = signature.kind == Collective::kSend || signature.kind == Collective::kRecv;
        if (signature.kind == Collective::kRecv && signature.root < 0) text += ", from any rank";
        if (signature.names_rank())
            text +=
                std::string(message ? (signature.kind == Collective::kSend ? ", to rank " : ", from rank ")
                                    : ", root ") +
                std::to_string(signature.root);
    }
    return text + ")";
}

std::string describe_mismatch(int rank_a, uint64_t op_a, const Signature& a, int rank_b, uint64_t op_b,
                              const Signature& b) {
    std::string text = "rank " + std::to_string(rank_a) + " called " + describe(a);
    if (op_a != op_b) text += " as operation " + std::to_string(op_a);
    text += ", rank " + std::to_string(rank_b) + " " + describe(b);
    if (a != b && describe(a) == describe(b)) text += ", but they give the shares other sizes";
    if (op_a != op_b)
        return text + " as operation " + std::to_string(op_b) + ". Every rank must call the same";
    return text + ", operation " + std::to_string(op_b) +
           ". Every rank must call the same collectives in the same order";
}

}  // namespace ring
