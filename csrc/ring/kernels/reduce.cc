// Chooses the instruction set of the reductions: which ones this CPU runs, and which one TORCH_RING_ISA asks
// for.
//
// Called by the engine (one look-up per collective) and by the tests and benchmarks (every instruction set).
#include "ring/kernels/reduce.h"

#include <algorithm>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/kernels/reduce_isa.h"

namespace ring {
namespace {

using Lookup = ReduceFn (*)(DType, ReduceOp, ReduceStage);

struct Isa {
    std::string name;
    Lookup lookup;
};

// Slowest first. Each condition names every extension that CMakeLists.txt compiles the file with.
std::vector<Isa> detect() {
    std::vector<Isa> isas = {{"portable", isa::portable::reduce_function}};
#if defined(__x86_64__)
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
    if (has_avx2) isas.push_back({"avx2", isa::avx2::reduce_function});
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        isas.push_back({"avx512", isa::avx512::reduce_function});
#endif
    return isas;
}

const std::vector<Isa>& detected() {
    static const std::vector<Isa> isas = detect();
    return isas;
}

Lookup lookup_of(const std::string& name) {
    for (const Isa& isa : detected())
        if (isa.name == name) return isa.lookup;
    return nullptr;
}

}  // namespace

std::string isa::choose(const std::string& requested, const std::vector<std::string>& supported) {
    if (requested.empty()) return supported.back();
    if (std::find(supported.begin(), supported.end(), requested) != supported.end()) return requested;
    std::string allowed;
    for (const std::string& name : supported) allowed += (allowed.empty() ? "" : ", ") + name;
    throw ConfigError("TORCH_RING_ISA=" + requested +
                      " is not an instruction set that this build has and this CPU runs; allowed here: " +
                      allowed + " (unset it to get the fastest)");
}

std::vector<std::string> supported_isas() {
    std::vector<std::string> names;
    for (const Isa& isa : detected()) names.push_back(isa.name);
    return names;
}

const std::string& current_isa() {
    static const std::string chosen = isa::choose(config().isa, supported_isas());
    return chosen;
}

ReduceFn reduce_function(DType dtype, ReduceOp op, ReduceStage stage) {
    static const Lookup lookup = lookup_of(current_isa());
    return lookup(dtype, op, stage);
}

ReduceFn reduce_function_of(const std::string& isa, DType dtype, ReduceOp op, ReduceStage stage) {
    const Lookup lookup = lookup_of(isa);
    return lookup == nullptr ? nullptr : lookup(dtype, op, stage);
}

}  // namespace ring
