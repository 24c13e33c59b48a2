// libring's errors as the Python exceptions of torch_ring/errors.py, and the adapter's own.
#pragma once

#include <c10/util/StringUtil.h>
#include <torch/csrc/utils/pybind.h>

#include <exception>
#include <string>

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

// Throw RingConfigError and RingTypeError, as python_error: for arguments that make no sense, before anything
// is sent. Like gloo's errors they are RuntimeErrors, and besides ValueError and TypeError.
[[noreturn]] void refuse_value(const std::string& text);
[[noreturn]] void refuse_type(const std::string& text);

#define RING_CHECK_VALUE(condition, ...) \
    if (C10_UNLIKELY(!(condition))) ::torch_ring::refuse_value(c10::str("ring: ", __VA_ARGS__))
#define RING_CHECK_TYPE(condition, ...) \
    if (C10_UNLIKELY(!(condition))) ::torch_ring::refuse_type(c10::str("ring: ", __VA_ARGS__))

// Makes pybind11 understand python_error, and libring's own errors where they come out untranslated.
void register_translators();

}  // namespace torch_ring
