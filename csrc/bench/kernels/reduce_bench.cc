// Kernel benchmarks: SUM of 2 and of 4 sources, by dtype and instruction set, of buffers that each fit into a
// core's cache or into none; memcpy as the reference of what the memory gives. Run by hand:
//   reduce_bench --benchmark_filter='float32.*avx512'
//
// bytes_per_second counts what is read and written: sources and destination.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "ring/kernels/reduce.h"

namespace {

// Of one buffer.
constexpr size_t kInCache = 32 << 10;
constexpr size_t kOutOfCache = 64 << 20;

// Zeros: a sum of any dtype that never overflows, and touched, so that every page is there.
using Buffer = std::vector<std::byte>;

void reduce(benchmark::State& state, const std::string& isa, ring::DType dtype, size_t n_sources,
            size_t bytes) {
    const ring::ReduceFn sum = ring::reduce_function_of(isa, dtype, ring::ReduceOp::kSum);
    std::vector<Buffer> buffers(n_sources, Buffer(bytes));
    std::vector<const void*> sources;
    for (const Buffer& buffer : buffers) sources.push_back(buffer.data());
    // Into the first, as the collectives do.
    for (auto _ : state) {
        sum(buffers[0].data(), sources.data(), n_sources, bytes / ring::size_of(dtype), 1);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>((n_sources + 1) * bytes));
}

void copy(benchmark::State& state, size_t bytes) {
    const Buffer from(bytes);
    Buffer to(bytes);
    for (auto _ : state) {
        std::memcpy(to.data(), from.data(), bytes);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(2 * bytes));
}

const char* name_of_size(size_t bytes) {
    return bytes == kInCache ? "32KiB" : "64MiB";
}

void register_all() {
    for (const size_t bytes : {kInCache, kOutOfCache}) {
        benchmark::RegisterBenchmark((std::string("memcpy/") + name_of_size(bytes)).c_str(), copy, bytes);
        for (const ring::DType dtype : {ring::DType::kFloat32, ring::DType::kFloat64, ring::DType::kBFloat16,
                                        ring::DType::kFloat16, ring::DType::kInt32, ring::DType::kUInt8})
            for (const size_t n_sources : {2, 4})
                for (const std::string& isa : ring::supported_isas()) {
                    const std::string name = std::string("sum/") + name_of(dtype) + "/" +
                                             std::to_string(n_sources) + "_sources/" + name_of_size(bytes) +
                                             "/" + isa;
                    benchmark::RegisterBenchmark(name.c_str(), reduce, isa, dtype, n_sources, bytes);
                }
    }
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    register_all();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
