// See report.h.
#include "ring/device/report.h"

#include <functional>

#include "ring/base/error.h"
#include "ring/device/cuda_runtime.h"
#include "ring/device/nccl.h"

namespace ring {
namespace {

DeviceFinding find(const std::string& what, const std::function<std::string()>& words) {
    try {
        return {what, true, words()};
    } catch (const Error& error) {
        return {what, false, error.what()};
    }
}

}  // namespace

std::vector<DeviceFinding> device_findings() {
    return {find("CUDA runtime",
                 [] {
                     const cuda::Runtime& cuda = cuda::Runtime::get();
                     return cuda::text_of(cuda.version()) + ", " + cuda.path();
                 }),
            find("GPUs",
                 [] {
                     const cuda::Runtime& cuda = cuda::Runtime::get();
                     const int count = cuda.devices();
                     return std::to_string(count) + ", with a driver for CUDA " +
                            cuda::text_of(cuda.driver_version());
                 }),
            find("NCCL", [] {
                const nccl::Api& nccl = nccl::Api::get();
                return nccl.version_text() + ", " + nccl.path();
            })};
}

}  // namespace ring
