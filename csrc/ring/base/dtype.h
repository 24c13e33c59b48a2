// The element types that libring moves and reduces: one row each, which every layer reads. Kernels dispatch
// on them, frame headers carry them on the wire (so the numeric values are part of the protocol and must not
// be reordered), the backend maps torch's scalar types onto them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ring/base/rows.h"

namespace ring {

enum class DType : uint8_t {
    kUInt8 = 0,
    kInt8,
    kUInt16,
    kInt16,
    kUInt32,
    kInt32,
    kUInt64,
    kInt64,
    kFloat16,
    kBFloat16,
    kFloat32,
    kFloat64,
    kBool,          // one byte, 0 or 1
    kFloat8E4M3FN,  // 4 bits of exponent, 3 of fraction, no infinity
    kFloat8E5M2,    // 5 and 2: the upper half of a float16
    kCount,
};

struct DTypeTraits {
    DType dtype;
    const char* name;  // torch's
    size_t bytes;      // of one element
    DType partial;     // what a sum or product is kept in while it lacks some of its inputs
    // The bits of 1 and 2 (of false and true), which benchmarks and tests reduce: their sums are exact.
    uint64_t one;
    uint64_t two;
};

// By number.
inline constexpr std::array<DTypeTraits, static_cast<size_t>(DType::kCount)> kDTypes{{
    {DType::kUInt8, "uint8", 1, DType::kUInt8, 1, 2},
    {DType::kInt8, "int8", 1, DType::kInt8, 1, 2},
    {DType::kUInt16, "uint16", 2, DType::kUInt16, 1, 2},
    {DType::kInt16, "int16", 2, DType::kInt16, 1, 2},
    {DType::kUInt32, "uint32", 4, DType::kUInt32, 1, 2},
    {DType::kInt32, "int32", 4, DType::kInt32, 1, 2},
    {DType::kUInt64, "uint64", 8, DType::kUInt64, 1, 2},
    {DType::kInt64, "int64", 8, DType::kInt64, 1, 2},
    {DType::kFloat16, "float16", 2, DType::kFloat32, 0x3c00, 0x4000},
    {DType::kBFloat16, "bfloat16", 2, DType::kFloat32, 0x3f80, 0x4000},
    {DType::kFloat32, "float32", 4, DType::kFloat32, 0x3f800000, 0x40000000},
    {DType::kFloat64, "float64", 8, DType::kFloat64, 0x3ff0000000000000, 0x4000000000000000},
    {DType::kBool, "bool", 1, DType::kBool, 0, 1},
    {DType::kFloat8E4M3FN, "float8_e4m3fn", 1, DType::kFloat32, 0x38, 0x40},
    {DType::kFloat8E5M2, "float8_e5m2", 1, DType::kFloat32, 0x3c, 0x40},
}};
static_assert(in_order(kDTypes, &DTypeTraits::dtype));

constexpr const DTypeTraits& traits_of(DType dtype) {
    return kDTypes[static_cast<size_t>(dtype)];
}

// Of a value off the wire, which may be none of them: 0 and "unknown".
constexpr size_t size_of(DType dtype) {
    return dtype < DType::kCount ? traits_of(dtype).bytes : 0;
}
constexpr const char* name_of(DType dtype) {
    return dtype < DType::kCount ? traits_of(dtype).name : "unknown";
}

}  // namespace ring
