// The life of a backend: how it is made, its settings, its end. See backend.h; the collectives are in
// collectives.cc and messages.cc.
#include "torch/backend.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include <algorithm>
#include <set>

#include "ring/engine/engine.h"
#include "torch/coalesced.h"
#include "torch/errors.h"
#include "torch/store.h"

namespace torch_ring {

namespace {

constexpr int kShrinkAbort = 1;  // torch.distributed.distributed_c10d.SHRINK_ABORT

}  // namespace

RingBackend::RingBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                         const c10::intrusive_ptr<RingOptions>& options)
    : c10d::Backend(rank, size), store_(store), options_(options) {
    TorchStore adapted(store);
    group_ = translated([&] {
        return ring::Communicator::create(ring::Engine::of_process(), adapted,
                                          {.rank = rank,
                                           .size = size,
                                           .timeout = options->timeout,
                                           .store_host = adapted.host(),
                                           .config = options->config});
    });
}

c10::intrusive_ptr<RingOptions> RingBackend::options_of(const c10::intrusive_ptr<Options>& given) const {
    // A copy: the new group's timeout is its own.
    const auto* const ours = dynamic_cast<const RingOptions*>(given.get());
    auto options = c10::make_intrusive<RingOptions>(ours != nullptr ? *ours : *options_);
    if (given) options->timeout = given->timeout;
    return options;
}

c10::intrusive_ptr<c10d::Backend> RingBackend::split(const c10::intrusive_ptr<c10d::Store>& store,
                                                     const std::vector<int>& ranks,
                                                     const c10::intrusive_ptr<Options>& opts) {
    translated([&] { group_->check_process("splitting a group"); });
    const auto at = std::find(ranks.begin(), ranks.end(), getRank());
    if (at == ranks.end()) return nullptr;
    // The parts of one split may bear one name; their ranks tell them apart.
    std::string name = "split/" + (opts ? opts->group_name : "");
    for (const int rank : ranks) name += "/" + std::to_string(rank);
    const std::lock_guard lock(offspring_mutex_);
    if (const auto known = splits_.find(name); known != splits_.end())
        if (auto alive = known->second.lock()) return alive;
    const auto prefixed = c10::make_intrusive<c10d::PrefixStore>(name, store);
    auto made = c10::make_intrusive<RingBackend>(prefixed, static_cast<int>(at - ranks.begin()),
                                                 static_cast<int>(ranks.size()), options_of(opts));
    splits_.insert_or_assign(name, c10::weak_intrusive_ptr<RingBackend>(made));
    return made;
}

c10::intrusive_ptr<c10d::Backend> RingBackend::shrink(const std::vector<int64_t>& ranks_to_exclude, int flags,
                                                      const c10::intrusive_ptr<Options>& opts) {
    translated([&] { group_->check_process("shrinking a group"); });
    const std::set<int64_t> excluded(ranks_to_exclude.begin(), ranks_to_exclude.end());
    RING_CHECK_VALUE(!excluded.contains(getRank()), "shrink() without this rank, ", getRank());
    std::string name = "shrink";
    int rank = 0;
    int size = 0;
    for (int r = 0; r < getSize(); ++r) {
        if (excluded.contains(r)) continue;
        if (r == getRank()) rank = size;
        name += "/" + std::to_string(r);
        ++size;
    }
    if ((flags & kShrinkAbort) != 0) group_->abort("it is being shrunk");
    const std::lock_guard lock(offspring_mutex_);
    name += "/" + std::to_string(shrinks_++);
    return c10::make_intrusive<RingBackend>(c10::make_intrusive<c10d::PrefixStore>(name, store_), rank, size,
                                            options_of(opts));
}

c10::intrusive_ptr<c10d::Backend> RingBackend::merge(const c10::intrusive_ptr<c10d::Store>& store,
                                                     const c10::intrusive_ptr<Options>& opts, const int& rank,
                                                     const int& size) {
    return c10::make_intrusive<RingBackend>(store, rank, size, options_of(opts));
}

void RingBackend::setTimeout(std::chrono::milliseconds timeout) {
    group_->set_timeout(timeout);
    options_->timeout = timeout;
}

c10d::ErrorType RingBackend::getError() {
    const auto failure = group_->failure();
    if (!failure) return c10d::ErrorType::SUCCESS;
    return failure->kind == ring::FailureKind::kTimeout ? c10d::ErrorType::TIMEOUT
                                                        : c10d::ErrorType::COMM_ERROR;
}

void RingBackend::startCoalescing() {
    const std::lock_guard lock(coalescing_mutex_);
    TORCH_CHECK(!coalescing_, "ring: startCoalescing() a second time before endCoalescing()");
    coalescing_.emplace();
}

RingBackend::WorkPtr RingBackend::endCoalescing() {
    const std::lock_guard lock(coalescing_mutex_);
    TORCH_CHECK(coalescing_.has_value(), "ring: endCoalescing() without startCoalescing()");
    auto works = std::move(*coalescing_);
    coalescing_.reset();
    return c10::make_intrusive<CoalescedWork>(std::move(works));
}

RingBackend::WorkPtr RingBackend::start(RingWork::Call call) {
    auto work = RingWork::start(group_, std::move(call));
    const std::lock_guard lock(coalescing_mutex_);
    if (coalescing_) coalescing_->push_back(work);
    return work;
}

}  // namespace torch_ring
