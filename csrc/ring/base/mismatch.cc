// See mismatch.h.
#include "ring/base/mismatch.h"

#include <array>
#include <bit>

namespace ring {

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
