// The reductions for any CPU: 16-byte vectors in the compiler's own notation (SSE2 on x86-64, NEON on
// aarch64) and float16 converted in software. Called through the table of reduce.cc.
#include <cstring>
#include <type_traits>
#ifdef __aarch64__
#include <arm_neon.h>
#endif

#include "ring/kernels/reduce_isa.h"

namespace ring::isa::portable {
namespace {

constexpr size_t kVectorBytes = 16;

// Signed words, as SSE2 compares no others: what is compared has its sign bit cleared.
using Floats [[gnu::vector_size(16)]] = float;
using Words [[gnu::vector_size(16)]] = int32_t;
using Halves [[gnu::vector_size(8)]] = uint16_t;

// The bits of float32s, and the distance between the two formats' exponent fields.
constexpr int32_t kTwoToMinus14 = 113 << 23;  // the smallest normal float16
constexpr int32_t kTwoToMinus1 = 126 << 23;
constexpr int32_t kTwoTo16 = 143 << 23;  // above every finite float16
constexpr int32_t kInfinity = 255 << 23;
constexpr int32_t kBiasDistance = 112 << 23;

// On aarch64 g++ 12 makes a move per element of the general form.
[[gnu::always_inline]] inline Words load_words(const char* from) {
    Halves halves;
    std::memcpy(&halves, from, sizeof(halves));
#ifdef __aarch64__
    return (Words)vmovl_u16((uint16x4_t)halves);
#else
    return __builtin_convertvector(halves, Words);
#endif
}

// A NaN keeps its payload and need not be made quiet, as the hardware would: finish() in reduce_isa.inc
// replaces it.
[[gnu::always_inline]] inline Floats load_half(const char* from) {
    const Words bits = load_words(from);
    const Words magnitude = (bits & 0x7FFF) << 13;
    // A subnormal's fraction, put behind the exponent of 2^-14, has the right weight but that 2^-14 too much.
    const Floats subnormal = (Floats)(magnitude | kTwoToMinus14) - (Floats)(Words{} + kTwoToMinus14);
    Words result = magnitude + kBiasDistance;
    result = magnitude < (0x0400 << 13) ? (Words)subnormal : result;
    result |= (magnitude >= (0x7C00 << 13)) & kInfinity;
    return (Floats)(result | (bits ^ (bits & 0x7FFF)) << 16);
}

// Rounds to nearest even.
[[gnu::always_inline]] inline void store_half(char* to, Floats value) {
    const Words bits = (Words)value;
    const Words magnitude = bits & 0x7FFFFFFF;
    // Half a unit less one, plus one if the unit is odd. The carry may run into the exponent, up to infinity,
    // as it should.
    Words result = (magnitude - kBiasDistance + 0x0FFF + (magnitude >> 13 & 1)) >> 13;
    // In [0.5, 1) the unit of a float32 is 2^-24, that of float16's subnormals: the addition rounds to it.
    const Words subnormal = (Words)((Floats)magnitude + 0.5f) - kTwoToMinus1;
    result = magnitude < kTwoToMinus14 ? subnormal : result;
    result = magnitude >= kTwoTo16 ? Words{} + 0x7C00 : result;
    result |= (magnitude > kInfinity) & 0x7E00;
    const Halves halves = __builtin_convertvector(result | (bits >> 16 & 0x8000), Halves);
    std::memcpy(to, &halves, sizeof(halves));
}

}  // namespace

#include "ring/kernels/reduce_isa.inc"

}  // namespace ring::isa::portable
