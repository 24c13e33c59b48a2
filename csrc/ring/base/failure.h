// Why a group failed, as a value that can be stored in shared memory, sent to peers, and thrown on every
// rank.
#pragma once

#include <cstdint>
#include <exception>
#include <string>

namespace ring {

// Numeric values are part of the protocol.
enum class FailureKind : uint8_t { kInternal = 0, kPeer, kTimeout, kMismatch, kAborted };
// Whether a number that another process gave is one of them.
constexpr bool is_failure_kind(uint8_t number) {
    return number <= static_cast<uint8_t>(FailureKind::kAborted);
}

struct Failure {
    FailureKind kind = FailureKind::kInternal;
    std::string text;
    // Operations before this one may still end well: whoever failed had ended them. 0: none may.
    uint64_t operation = 0;

    // The exception of the matching type from error.h; `operation` says what was in flight here ("" for
    // none).
    std::exception_ptr exception(const std::string& operation) const;
    // From an exception that this process caught.
    static Failure of(std::exception_ptr error);
};

}  // namespace ring
