// The operations by which libring reduces: one row each. Numeric values are part of the protocol.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ring/base/rows.h"

namespace ring {

enum class ReduceOp : uint8_t {
    kSum = 0,
    kAvg,
    kProduct,
    kMin,
    kMax,
    kBand,
    kBor,
    kBxor,
    kPremulSum,  // of what the caller has scaled already
    kCount,
    kNone = 255,  // the collective does not reduce
};

struct ReduceOpTraits {
    ReduceOp op;
    const char* name;  // torch's
    bool adds;         // numbers; with a division or a scaling perhaps
    bool rounds;       // may round floating-point numbers
};

// By number.
inline constexpr std::array<ReduceOpTraits, static_cast<size_t>(ReduceOp::kCount)> kReduceOps{{
    {ReduceOp::kSum, "SUM", true, true},
    {ReduceOp::kAvg, "AVG", true, true},
    {ReduceOp::kProduct, "PRODUCT", false, true},
    {ReduceOp::kMin, "MIN", false, false},
    {ReduceOp::kMax, "MAX", false, false},
    {ReduceOp::kBand, "BAND", false, false},
    {ReduceOp::kBor, "BOR", false, false},
    {ReduceOp::kBxor, "BXOR", false, false},
    {ReduceOp::kPremulSum, "PREMUL_SUM", true, true},
}};
static_assert(in_order(kReduceOps, &ReduceOpTraits::op));

// Not of kNone.
constexpr const ReduceOpTraits& traits_of(ReduceOp op) {
    return kReduceOps[static_cast<size_t>(op)];
}

// "none" for kNone, "unknown" for a value off the wire that is none of them.
constexpr const char* name_of(ReduceOp op) {
    if (op == ReduceOp::kNone) return "none";
    return op < ReduceOp::kCount ? traits_of(op).name : "unknown";
}

}  // namespace ring
