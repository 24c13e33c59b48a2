// See copy.h.
#include "ring/kernels/copy.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ring/kernels/line_cost.h"
#include "ring/kernels/reduce.h"

namespace ring {
namespace {

using CopyFn = void (*)(char* to, const char* from, size_t bytes);

void copy_portable(char* to, const char* from, size_t bytes) {
    std::memcpy(to, from, bytes);
}

constexpr size_t kLine = 64;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void copy_avx512(char* to, const char* from, size_t bytes) {
    size_t at = 0;
    for (; at + kLine <= bytes; at += kLine) _mm512_storeu_si512(to + at, _mm512_loadu_si512(from + at));
    if (at < bytes) std::memcpy(to + at, from + at, bytes - at);
}

// `to` is aligned to a cache line.
__attribute__((target("avx512f"))) void stream_avx512(char* to, const char* from, size_t bytes) {
    size_t at = 0;
    for (; at + kLine <= bytes; at += kLine)
        _mm512_stream_si512(reinterpret_cast<__m512i*>(to + at), _mm512_loadu_si512(from + at));
    if (at < bytes) std::memcpy(to + at, from + at, bytes - at);
    _mm_sfence();  // streaming stores are not ordered by a release store
}

__attribute__((target("avx2"))) void copy_avx2(char* to, const char* from, size_t bytes) {
    constexpr size_t kVector = 32;
    size_t at = 0;
    for (; at + kVector <= bytes; at += kVector)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at),
                            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + at)));
    if (at < bytes) std::memcpy(to + at, from + at, bytes - at);
}

__attribute__((target("avx2"))) void stream_avx2(char* to, const char* from, size_t bytes) {
    constexpr size_t kVector = 32;
    size_t at = 0;
    for (; at + kVector <= bytes; at += kVector)
        _mm256_stream_si256(reinterpret_cast<__m256i*>(to + at),
                            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + at)));
    if (at < bytes) std::memcpy(to + at, from + at, bytes - at);
    _mm_sfence();  // as above
}
#endif

struct Functions {
    CopyFn copy = copy_portable;
    CopyFn stream = copy_portable;
};

const Functions& functions() {
    static const Functions chosen = [] {
        Functions best;
#if defined(__x86_64__)
        if (current_isa() == "avx2") best = {copy_avx2, stream_avx2};
        if (current_isa() == "avx512") best = {copy_avx512, stream_avx512};
#endif
        return best;
    }();
    return chosen;
}

// ---- which kind of store, see copy.h ----

constexpr size_t kProbeBytes = 8 << 10;  // of a copy that are enough to tell
constexpr size_t kStreamFrom = 1 << 10;  // below, a streaming store's way to memory costs more
constexpr float kLeastNs = 0.1f;
constexpr std::chrono::nanoseconds kOverhead{150};
constexpr uint32_t kProbeEvery = 16;  // copies that are small, or made while the cores are far

LineCost line_cost;
std::atomic<uint32_t> copies{0};  // relaxed, all uses: which of them is timed does not matter

// Copies with ordinary stores, and finds out what that cost.
void copy_timed(CopyFn plain, char* to, const char* from, size_t bytes) {
    const auto start = std::chrono::steady_clock::now();
    plain(to, from, bytes);
    // Until the stores have left the core, whose buffer hides some 64 of them.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const auto per_line = (std::chrono::steady_clock::now() - start - kOverhead) / (1.0f * (bytes / kLine));
    const auto ns = std::chrono::duration<float, std::nano>(per_line).count();
    line_cost.note(std::max(ns, kLeastNs));
}

}  // namespace

void copy(void* to, const void* from, size_t bytes) {
    functions().copy(static_cast<char*>(to), static_cast<const char*>(from), bytes);
}

void copy_to_shared(void* target, const void* source, size_t bytes) {
    const Functions& use = functions();
    auto* to = static_cast<char*>(target);
    const auto* from = static_cast<const char*>(source);
    if (bytes < kStreamFrom) return use.copy(to, from, bytes);
    const bool dear = line_cost.far() || bytes < 2 * kProbeBytes;
    if (!dear || copies.fetch_add(1, std::memory_order_relaxed) % kProbeEvery == 0) {
        const size_t probe = std::min(bytes, kProbeBytes);
        copy_timed(use.copy, to, from, probe);
        to += probe;
        from += probe;
        bytes -= probe;
    }
    const bool aligned = reinterpret_cast<uintptr_t>(to) % kLine == 0;
    (line_cost.far() && aligned ? use.stream : use.copy)(to, from, bytes);
}

void copy_and_time(void* target, const void* source, size_t bytes) {
    auto* to = static_cast<char*>(target);
    const auto* from = static_cast<const char*>(source);
    if (bytes >= 2 * kProbeBytes && copies.fetch_add(1, std::memory_order_relaxed) % kProbeEvery == 0) {
        copy_timed(functions().copy, to, from, kProbeBytes);
        to += kProbeBytes;
        from += kProbeBytes;
        bytes -= kProbeBytes;
    }
    functions().copy(to, from, bytes);
}

double shared_line_ns() {
    return line_cost.of_late();
}

}  // namespace ring
