// The fake CUDA runtime and NCCL of tests/fakes, which lie beside the program.
#pragma once

#include <filesystem>
#include <string>

#include "ring/device/library.h"

namespace ring::testing {

inline LibrarySearch fake(const std::string& name) {
    const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    return {.what = "the fake " + name,
            .setting = "TORCH_RING_FAKE",
            .file = folder / ("libring_fake_" + name + ".so"),
            .names = {},
            .folders = {},
            .remedy = "Build it"};
}

// What tests can ask of the fake CUDA runtime, see tests/fakes/cudart.h.
struct FakeCuda {
    FakeCuda() : library(fake("cudart")) {
        library.bind(set_devices, "fake_cuda_set_devices");
        library.bind(fail_next, "fake_cuda_fail_next");
        library.bind(set_delays, "fake_cuda_set_delays");
        library.bind(enqueue, "fake_cuda_enqueue");
        library.bind(reset, "fake_cuda_reset");
        library.bind(alive, "fake_cuda_alive");
    }
    ~FakeCuda() { reset(); }

    const Library library;
    void (*set_devices)(int);
    void (*fail_next)(const char*, int);
    void (*set_delays)(int);
    void (*enqueue)(void*, void (*)(void*), void*);
    void (*reset)();
    int64_t (*alive)();
};

}  // namespace ring::testing
