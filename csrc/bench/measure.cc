// See measure.h.
#include "measure.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace ring_perf {
namespace {

Result combined(const std::vector<Result>& all) {
    Result result;
    for (const auto& [times, wrong] : all) {
        result.times.median = std::max(result.times.median, times.median);
        result.times.mean = std::max(result.times.mean, times.mean);
        result.times.min = std::max(result.times.min, times.min);
        result.times.p90 = std::max(result.times.p90, times.p90);
        result.times.cpu += times.cpu;
        result.wrong += wrong;
    }
    return result;
}

// One size; none where the library has no such collective.
std::optional<Row> measure_size(Library& library, const Subject& subject, const Sweep& sweep, size_t bytes) {
    Tensors tensors(subject, library.rank(), library.ranks(), bytes);
    const int warmup = calls_of_size(sweep.warmup, bytes);
    const int calls = calls_of_size(sweep.calls, bytes);
    std::function<void()> call;
    Result mine;
    if (subject.is_memcpy()) {
        call = [&] {
            if (tensors.bytes() > 0) std::memcpy(tensors.output, tensors.input, tensors.bytes());
        };
        mine.times = time_calls(warmup, calls, call, [&] { library.barrier(); });
    } else {
        call = library.call_of(subject, tensors);
        if (!call) return std::nullopt;
        mine.times = time_calls(warmup, calls, call);
    }
    if (sweep.check_results) {
        tensors.fill();
        call();
        mine.wrong = tensors.wrong();
    }
    const Result all = combined(library.gather(mine));
    const ring::CollectiveTraits& traits = subject.traits();
    return Row{.bytes = tensors.bytes(),
               .count = tensors.count(),
               .type = traits.sized ? name_of(subject.dtype) : "none",
               .op = traits.reduces ? name_of(subject.op) : "none",
               .times = all.times,
               .bus_factor = ring::bus_factor(traits.kind, library.ranks()),
               .wrong = all.wrong};
}

}  // namespace

bool measure(Library& library, const Subject& subject, const Sweep& sweep,
             const std::function<void(const Row&)>& report) {
    bool right = true;
    for (size_t bytes = sweep.min_bytes; bytes <= sweep.max_bytes; bytes *= sweep.factor) {
        const std::optional<Row> row = measure_size(library, subject, sweep, bytes);
        if (!row) break;
        right = right && row->wrong == 0;
        report(*row);
        if (!subject.traits().sized || bytes == 0) break;
    }
    return right;
}

}  // namespace ring_perf
