// The reductions for CPUs with AVX-512 F, BW, VL and DQ. Called through the table of reduce.cc, which checks
// the CPU.
#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "ring/kernels/reduce_isa.h"

namespace ring::isa::avx512 {
namespace {

constexpr size_t kVectorBytes = 64;

// The masks select every lane: the unmasked intrinsics of g++ 12 give -Wmaybe-uninitialized.
constexpr __mmask16 kAll = 0xFFFF;

[[gnu::always_inline]] inline __m512i load_words(const char* from) {
    return _mm512_maskz_cvtepu16_epi32(kAll, _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(from)));
}

[[gnu::always_inline]] inline __m512 load_half(const char* from) {
    return _mm512_maskz_cvtph_ps(kAll, _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(from)));
}

[[gnu::always_inline]] inline void store_half(char* to, __m512 value) {
    const __m256i half = _mm512_maskz_cvtps_ph(kAll, value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(to), half);
}

}  // namespace

#include "ring/kernels/reduce_isa.inc"

}  // namespace ring::isa::avx512
