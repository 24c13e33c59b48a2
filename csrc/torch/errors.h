// libring's errors as the Python exceptions of torch_ring/errors.py.
#pragma once

#include <torch/csrc/utils/pybind.h>

#include <exception>

namespace torch_ring {

// The same error as a torch python_error that carries the typed Python exception: every way by which torch
// hands exceptions to Python (pybind11, autograd, futures) keeps its type. Takes the GIL. Null stays null.
std::exception_ptr to_python(const std::exception_ptr& error);

// Runs `body`, turning libring's errors into Python's.
template <typename Body>
auto translated(Body body) {
    try {
        return body();
    } catch (...) {
        std::rethrow_exception(to_python(std::current_exception()));
    }
}

// Makes pybind11 understand python_error, and libring's own errors where they come out untranslated.
void register_translators();

}  // namespace torch_ring
