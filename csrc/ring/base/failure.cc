// See failure.h.
#include "ring/base/failure.h"

#include "ring/base/error.h"

namespace ring {

std::exception_ptr Failure::exception(const std::string& operation) const {
    const std::string message = operation.empty() ? text : text + "; in flight here: " + operation;
    switch (kind) {
        case FailureKind::kPeer:
            return std::make_exception_ptr(PeerError(message));
        case FailureKind::kTimeout:
            return std::make_exception_ptr(TimeoutError(message));
        case FailureKind::kMismatch:
            return std::make_exception_ptr(MismatchError(message));
        case FailureKind::kAborted:
            return std::make_exception_ptr(AbortedError(message));
        case FailureKind::kInternal:
            break;
    }
    return std::make_exception_ptr(Error(message));
}

Failure Failure::of(std::exception_ptr error) {
    try {
        std::rethrow_exception(error);
    } catch (const PeerError& e) {
        return {FailureKind::kPeer, e.what(), 0};
    } catch (const TimeoutError& e) {
        return {FailureKind::kTimeout, e.what(), 0};
    } catch (const MismatchError& e) {
        return {FailureKind::kMismatch, e.what(), e.operation()};
    } catch (const AbortedError& e) {
        return {FailureKind::kAborted, e.what(), 0};
    } catch (const std::exception& e) {
        return {FailureKind::kInternal, e.what(), 0};
    }
}

}  // namespace ring
