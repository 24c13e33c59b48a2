// See measure.h.
#include "measure.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace ring_perf {
namespace {

using ring::Arguments;
using ring::Collective;

// Every element is 1 on every rank, so that each result is known for every dtype and op.
void fill_with_ones(std::vector<std::byte>& data, ring::DType dtype) {
    const auto fill = [&](auto one) {
        for (size_t at = 0; at + sizeof(one) <= data.size(); at += sizeof(one))
            std::memcpy(&data[at], &one, sizeof(one));
    };
    switch (dtype) {
        case ring::DType::kFloat16:
            return fill(uint16_t{0x3c00});
        case ring::DType::kBFloat16:
            return fill(uint16_t{0x3f80});
        case ring::DType::kFloat32:
            return fill(1.0f);
        case ring::DType::kFloat64:
            return fill(1.0);
        default:
            break;
    }
    switch (ring::size_of(dtype)) {
        case 1:
            return fill(uint8_t{1});
        case 2:
            return fill(uint16_t{1});
        case 4:
            return fill(uint32_t{1});
        default:
            return fill(uint64_t{1});
    }
}

// What one element is after the collective, computed by the kernel that another test has checked.
std::vector<std::byte> expected_element(const Options& options, int ranks) {
    std::vector<std::byte> one(ring::size_of(options.dtype));
    fill_with_ones(one, options.dtype);
    std::vector<std::byte> result = one;
    if (options.collective == Collective::kAllReduce || options.collective == Collective::kReduceScatter) {
        const std::vector<const void*> sources(ranks, one.data());
        const size_t divisor = options.op == ring::ReduceOp::kAvg ? ranks : 1;
        ring::reduce_function(options.dtype, options.op)(result.data(), sources.data(), sources.size(), 1,
                                                         divisor);
    }
    return result;
}

}  // namespace

double bus_factor(Collective collective, int ranks) {
    const double n = ranks;
    switch (collective) {
        case Collective::kAllReduce:
            return 2 * (n - 1) / n;
        case Collective::kAllGather:
        case Collective::kReduceScatter:
            return (n - 1) / n;
        default:
            return 1;
    }
}

Result measure(ring::Communicator& group, const Options& options, size_t bytes) {
    const int ranks = group.layout().size();
    const size_t element = ring::size_of(options.dtype);
    const bool sharded =
        options.collective == Collective::kAllGather || options.collective == Collective::kReduceScatter;
    const size_t share = bytes / element / (sharded ? ranks : 1);
    const size_t total = share * (sharded ? ranks : 1);

    std::vector<std::byte> data(total * element);
    std::vector<std::byte> own(share * element);
    Arguments arguments;
    arguments.signature.kind = options.collective;
    arguments.signature.dtype = options.dtype;
    arguments.signature.count = options.collective == Collective::kBarrier ? 0 : share;
    if (options.collective == Collective::kAllReduce || options.collective == Collective::kReduceScatter)
        arguments.signature.op = options.op;
    if (options.collective == Collective::kBroadcast) arguments.signature.root = 0;
    arguments.input = options.collective == Collective::kAllGather ? own.data() : data.data();
    arguments.output = options.collective == Collective::kReduceScatter ? own.data() : data.data();
    if (sharded)
        for (int r = 0; r < ranks; ++r) {
            arguments.inputs.push_back(data.data() + r * share * element);
            arguments.outputs.push_back(data.data() + r * share * element);
        }

    std::vector<double> times;
    for (int i = -options.warmup; i < options.iterations; ++i) {
        const auto start = std::chrono::steady_clock::now();
        group.wait(group.post(arguments));
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        if (i >= 0) times.push_back(spent.count());
    }
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());

    Result result{.count = total, .seconds = times[times.size() / 2], .wrong = 0};
    if (options.check && options.collective != Collective::kBarrier) {
        fill_with_ones(data, options.dtype);
        fill_with_ones(own, options.dtype);
        group.wait(group.post(arguments));
        const auto expected = expected_element(options, ranks);
        const auto& output = options.collective == Collective::kReduceScatter ? own : data;
        for (size_t at = 0; at < output.size(); at += element)
            result.wrong += std::memcmp(&output[at], expected.data(), element) != 0;
    }
    return result;
}

}  // namespace ring_perf
