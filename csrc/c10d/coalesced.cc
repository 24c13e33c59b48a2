// See coalesced.h.
#include "c10d/coalesced.h"

#include <algorithm>

#include "c10d/interrupts.h"

namespace torch_ring {

bool CoalescedWork::wait(std::chrono::milliseconds timeout) {
    std::exception_ptr first;
    for (const auto& work : works_) {
        try {
            work->wait(timeout);
        } catch (const Interrupted&) {
            throw;
        } catch (...) {
            if (first == nullptr) first = std::current_exception();
        }
    }
    if (first != nullptr) std::rethrow_exception(first);
    return true;
}

void CoalescedWork::abort() {
    for (const auto& work : works_) work->abort();
}

bool CoalescedWork::isCompleted() {
    return std::all_of(works_.begin(), works_.end(), [](const auto& work) { return work->isCompleted(); });
}

bool CoalescedWork::isSuccess() const {
    return std::all_of(works_.begin(), works_.end(), [](const auto& work) { return work->isSuccess(); });
}

std::exception_ptr CoalescedWork::exception() const {
    for (const auto& work : works_)
        if (auto error = work->exception()) return error;
    return nullptr;
}

std::vector<at::Tensor> CoalescedWork::result() {
    std::vector<at::Tensor> all;
    for (const auto& work : works_) {
        const auto of_one = work->result();
        all.insert(all.end(), of_one.begin(), of_one.end());
    }
    return all;
}

c10::intrusive_ptr<c10::ivalue::Future> CoalescedWork::getFuture() {
    const auto tensors = c10::ListType::create(c10::TensorType::get());
    c10::List<c10::intrusive_ptr<c10::ivalue::Future>> futures(c10::FutureType::create(tensors));
    for (const auto& work : works_) futures.push_back(work->getFuture());
    return c10::collectAll(futures)->then(
        [works = works_](c10::ivalue::Future& done) -> c10::IValue {
            std::vector<at::Tensor> all;
            for (const c10::IValue& each : done.value().toList()) {
                const auto of_one = each.toFuture()->value().toTensorVector();
                all.insert(all.end(), of_one.begin(), of_one.end());
            }
            return all;
        },
        tensors);
}

}  // namespace torch_ring
