// What can be set per group: torch_ring.Options, given as `pg_options`.
#pragma once

#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <chrono>

#include "ring/base/config.h"

namespace torch_ring {

constexpr const char* kBackendName = "ring";

// Settings start with the process's, which the environment gives. Not thread-safe.
struct RingOptions : c10d::Backend::Options {
    explicit RingOptions(std::chrono::milliseconds timeout = kBackendDefaultTimeout)
        : Options(kBackendName, timeout) {}

    ring::Config config = ring::config();
};

// Adds the class, with a property for each parameter that a group may set; called by module.cc once.
void register_options(pybind11::module_& module);

}  // namespace torch_ring
