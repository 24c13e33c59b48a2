// See pattern.h.
#include "pattern.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "ring/kernels/reduce.h"

namespace ring_perf {
namespace {

// No divisor of a chunk or a share, so that what is off by one of these differs.
constexpr size_t kPeriod = 5;

// The elements of one period, as bytes. 1 and 2, or false and true: few bits, so that sums are exact in every
// dtype, whatever their order.
std::vector<std::byte> period_of(ring::DType dtype, int rank, size_t first) {
    const size_t element = ring::size_of(dtype);
    std::vector<std::byte> period(kPeriod * element);
    for (size_t i = 0; i < kPeriod; ++i) {
        const bool two = (first + i + static_cast<size_t>(rank)) % kPeriod == 0;
        const uint64_t bits = two ? ring::traits_of(dtype).two : ring::traits_of(dtype).one;
        std::memcpy(&period[i * element], &bits, element);  // little-endian
    }
    return period;
}

size_t count_different(const void* data, size_t count, size_t element, const std::vector<std::byte>& period) {
    const auto* bytes = static_cast<const std::byte*>(data);
    size_t wrong = 0;
    for (size_t at = 0; at < count; at += kPeriod) {
        const size_t elements = std::min(kPeriod, count - at);
        if (std::memcmp(bytes + at * element, period.data(), elements * element) == 0) continue;
        for (size_t i = 0; i < elements; ++i)
            wrong += std::memcmp(bytes + (at + i) * element, &period[i * element], element) != 0;
    }
    return wrong;
}

}  // namespace

void fill_pattern(void* data, size_t count, ring::DType dtype, int rank, size_t first) {
    const std::vector<std::byte> period = period_of(dtype, rank, first);
    auto* bytes = static_cast<std::byte*>(data);
    const size_t total = count * ring::size_of(dtype);
    for (size_t at = 0; at < total; at += period.size())
        std::memcpy(bytes + at, period.data(), std::min(period.size(), total - at));
}

void fill_poison(void* data, size_t bytes) {
    if (bytes > 0) std::memset(data, 0xa5, bytes);
}

size_t count_wrong(const void* data, size_t count, ring::DType dtype, int rank, size_t first) {
    return count_different(data, count, ring::size_of(dtype), period_of(dtype, rank, first));
}

size_t count_wrong_reduced(const void* data, size_t count, ring::DType dtype, ring::ReduceOp op, int ranks,
                           size_t first) {
    std::vector<std::vector<std::byte>> inputs;
    std::vector<const void*> sources;
    for (int rank = 0; rank < ranks; ++rank) {
        inputs.push_back(period_of(dtype, rank, first));
        sources.push_back(inputs.back().data());
    }
    std::vector<std::byte> result(kPeriod * ring::size_of(dtype));
    const size_t divisor = op == ring::ReduceOp::kAvg ? static_cast<size_t>(ranks) : 1;
    ring::reduce_function(dtype, op)(result.data(), sources.data(), sources.size(), kPeriod, divisor);
    return count_different(data, count, ring::size_of(dtype), result);
}

}  // namespace ring_perf
