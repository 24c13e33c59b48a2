// The reductions for CPUs with AVX2 and F16C. Called through the table of reduce.cc, which checks the CPU.
#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "ring/kernels/reduce_isa.h"

namespace ring::isa::avx2 {
namespace {

constexpr size_t kVectorBytes = 32;

[[gnu::always_inline]] inline __m256i load_words(const char* from) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(from)));
}

[[gnu::always_inline]] inline __m256 load_half(const char* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(from)));
}

[[gnu::always_inline]] inline void store_half(char* to, __m256 value) {
    const __m128i half = _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(to), half);
}

}  // namespace

#include "ring/kernels/reduce_isa.inc"

}  // namespace ring::isa::avx2
