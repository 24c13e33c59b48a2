// See errors.h.
#include "c10d/errors.h"

#include <torch/csrc/Exceptions.h>

#include "ring/base/error.h"

namespace torch_ring {
namespace {

// Sets the Python exception `name` of torch_ring.errors as current. With the GIL.
void raise(const char* name, const char* message) {
    const auto type = py::module_::import("torch_ring.errors").attr(name);
    PyErr_SetString(type.ptr(), message);
}

// True if `error` is libring's and the Python exception is set now. With the GIL.
bool raise_typed(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const ring::MismatchError& e) {
        raise("RingMismatchError", e.what());
    } catch (const ring::PeerError& e) {
        raise("RingPeerError", e.what());
    } catch (const ring::TimeoutError& e) {
        raise("RingTimeoutError", e.what());
    } catch (const ring::AbortedError& e) {
        raise("RingAbortedError", e.what());
    } catch (const ring::ConfigError& e) {
        raise("RingConfigError", e.what());
    } catch (const ring::Error& e) {
        raise("RingError", e.what());
    } catch (...) {
        return false;
    }
    return true;
}

// The Python exception that is set now, as C++ carries it. With the GIL.
std::exception_ptr carried() {
    python_error error;
    error.persist();
    return std::make_exception_ptr(error);
}

[[noreturn]] void refuse(const char* name, const std::string& text) {
    const py::gil_scoped_acquire gil;
    raise(name, text.c_str());
    std::rethrow_exception(carried());
}

}  // namespace

std::exception_ptr to_python(const std::exception_ptr& error) {
    if (error == nullptr) return nullptr;
    const py::gil_scoped_acquire gil;
    if (!raise_typed(error)) return error;
    return carried();
}

void refuse_value(const std::string& text) {
    refuse("RingConfigError", text);
}

void refuse_type(const std::string& text) {
    refuse("RingTypeError", text);
}

void register_translators() {
    py::register_exception_translator([](std::exception_ptr error) {
        if (raise_typed(error)) return;
        try {
            std::rethrow_exception(error);
        } catch (python_error& e) {
            e.restore();
        }
    });
}

}  // namespace torch_ring
