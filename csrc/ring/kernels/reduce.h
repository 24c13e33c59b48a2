// Elementwise reduction of several buffers into one: the arithmetic of every reducing collective.
//
// One source (reduce_isa.inc) is compiled once per instruction set (portable, AVX2, AVX-512); the best one
// that this CPU runs is chosen at first use, or the one that TORCH_RING_ISA names. All of them give
// bit-identical results.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ring/base/dtype.h"
#include "ring/base/reduce_op.h"

namespace ring {

// dst[i] = srcs[0][i] op srcs[1][i] op ... op srcs[n_srcs-1][i], i < count, evaluated from left to right in
// the order of `srcs`, so that every rank that reduces the same buffers in the same order ends with the same
// bits.
//
// The floating types of 8 and 16 bits compute in float32 and are rounded once, at the end (round to
// nearest even, NaN stays NaN; what is too large becomes infinity, or NaN where the type has none). MIN and
// MAX of floating types give NaN where any input is NaN. Integers wrap around. `divisor` > 1 divides the
// result by it before it is stored (AVG: pass the number of ranks in the call that completes the sum, 1
// otherwise); integers are truncated towards zero, bool ignores it. SUM, AVG and PREMUL_SUM are the same
// function: only `divisor` differs. bool: SUM, MAX and BOR are "or"; PRODUCT, MIN and BAND are "and"; BXOR is
// "xor".
//
// `dst` may be one of `srcs`, if its elements are of the same size, or overlap none of them. n_srcs >= 1. No
// alignment is required beyond the element's. Thread-safe.
using ReduceFn = void (*)(void* dst, const void* const* srcs, size_t n_srcs, size_t count, size_t divisor);

// What a sum is kept in while it lacks some of its addends: float32 for the floating types of 8 and 16 bits
// where adding rounds, else the type itself.
constexpr DType partial_dtype(DType dtype, ReduceOp op) {
    return op < ReduceOp::kCount && traits_of(op).rounds ? traits_of(dtype).partial : dtype;
}

// Which part of a reduction a function computes, so that it is rounded once in all however many there are.
enum class ReduceStage {
    kWhole,  // from elements to elements
    kFirst,  // from elements to partial results
    kNext,   // from partial results to partial results
    kLast,   // from partial results to elements
};

// The function for a pair, or nullptr where the pair makes no sense (bitwise ops on floating types,
// PREMUL_SUM of any other type, AVG of bool).
ReduceFn reduce_function(DType dtype, ReduceOp op, ReduceStage stage = ReduceStage::kWhole);

// Instruction sets compiled in that this CPU can run, slowest first: {"portable", "avx2", "avx512"}.
std::vector<std::string> supported_isas();

// The one in use. Chosen once, thread-safely: TORCH_RING_ISA if set (must be one of supported_isas()), else
// the best.
const std::string& current_isa();

// The same as reduce_function, of a given instruction set; nullptr if `isa` is not supported. For tests and
// benchmarks.
ReduceFn reduce_function_of(const std::string& isa, DType dtype, ReduceOp op,
                            ReduceStage stage = ReduceStage::kWhole);

}  // namespace ring
