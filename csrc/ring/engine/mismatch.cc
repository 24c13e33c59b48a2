// What is said of ranks that called different things, with the numbers that the user knows them by. See
// communicator.h.
#include "ring/base/mismatch.h"
#include "ring/engine/communicator.h"

namespace ring {

Failure Communicator::mismatch(const DifferentPast& past) {
    try {
        // A message of that earlier operation may be here, or in the kernel, and says more.
        listen(Clock::time_point{});
        mailbox_.progress();
    } catch (const DifferentCalls& calls) {
        return watch_.mismatch(calls);
    } catch (...) {
        return Failure::of(std::current_exception());
    }
    const std::string me = layout_.name(layout_.rank());
    std::string text = layout_.name(past.peer()) + " and " + me + " called different things before " +
                       ring::describe(renamed(past.called())) + ", operation " +
                       std::to_string(past.operation());
    if (const auto last = mailbox_.ended(past.operation() - 1))
        text += "; the last that ended on " + me + " was " + ring::describe(renamed(*last));
    return {FailureKind::kMismatch, text + ". Every rank must call the same, in the same order",
            past.operation()};
}

}  // namespace ring
