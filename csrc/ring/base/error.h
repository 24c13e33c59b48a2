// The errors that libring throws. csrc/c10d maps each type onto a Python exception of the same meaning.
//
// Every message says what happened, where (rank, host, operation), and what to do.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace ring {

// The ancestor of all of them: something went wrong that has no type of its own (a system call, a broken
// invariant).
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// A wrong setting: a TORCH_RING_* value, an argument, a pair of dtype and op that makes no sense. Nothing was
// sent.
class ConfigError : public Error {
  public:
    using Error::Error;
};

// The ranks called different things.
class MismatchError : public Error {
  public:
    // `operation`: this rank's, from which on the group cannot go on; 0 for all.
    explicit MismatchError(const std::string& what, uint64_t operation = 0)
        : Error(what), operation_(operation) {}
    uint64_t operation() const { return operation_; }

  private:
    uint64_t operation_;
};

// A peer died, left, or cannot be reached.
class PeerError : public Error {
  public:
    using Error::Error;
};

// A deadline passed.
class TimeoutError : public Error {
  public:
    using Error::Error;
};

// The group was shut down or aborted by this process itself.
class AbortedError : public Error {
  public:
    using Error::Error;
};

// "Connection refused (errno 111)"; where descriptors have run out, which limit it was and how to raise it.
std::string describe_errno(int code);

// Throws Error with `what` and the text of errno: "what: Connection refused (errno 111)".
[[noreturn]] void throw_errno(const std::string& what);

}  // namespace ring
