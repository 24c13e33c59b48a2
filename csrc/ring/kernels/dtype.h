// The element types and reduce operations that libring moves and reduces.
//
// Used by every layer above: kernels dispatch on them, frame headers carry them on the wire (so the numeric
// values are part of the protocol and must not be reordered), csrc/torch maps torch's scalar types onto them.
#pragma once

#include <cstddef>
#include <cstdint>

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

// Bytes of one element.
constexpr size_t size_of(DType dtype) {
    switch (dtype) {
        case DType::kUInt8:
        case DType::kInt8:
        case DType::kBool:
        case DType::kFloat8E4M3FN:
        case DType::kFloat8E5M2:
            return 1;
        case DType::kUInt16:
        case DType::kInt16:
        case DType::kFloat16:
        case DType::kBFloat16:
            return 2;
        case DType::kUInt32:
        case DType::kInt32:
        case DType::kFloat32:
            return 4;
        case DType::kUInt64:
        case DType::kInt64:
        case DType::kFloat64:
            return 8;
        case DType::kCount:
            break;
    }
    return 0;
}

// torch's names: "float32", "bfloat16", "int64", "bool"; "unknown" for a value off the wire that is none of
// them.
constexpr const char* name_of(DType dtype) {
    constexpr const char* kNames[] = {"uint8",   "int8",    "uint16", "int16",         "uint32",
                                      "int32",   "uint64",  "int64",  "float16",       "bfloat16",
                                      "float32", "float64", "bool",   "float8_e4m3fn", "float8_e5m2"};
    return dtype < DType::kCount ? kNames[static_cast<size_t>(dtype)] : "unknown";
}

// torch's names: "SUM", "AVG", ...
constexpr const char* name_of(ReduceOp op) {
    constexpr const char* kNames[] = {"SUM",  "AVG", "PRODUCT", "MIN",       "MAX",
                                      "BAND", "BOR", "BXOR",    "PREMUL_SUM"};
    if (op == ReduceOp::kNone) return "none";
    return op < ReduceOp::kCount ? kNames[static_cast<size_t>(op)] : "unknown";
}

}  // namespace ring
