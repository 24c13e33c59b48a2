// The life of a backend: how it is made, its settings, its end. See backend.h; the collectives are in
// collectives.cc and messages.cc.
#include "c10d/backend.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include <algorithm>
#include <cctype>
#include <set>

#include "c10d/coalesced.h"
#include "c10d/errors.h"
#include "c10d/store.h"
#include "ring/engine/engine.h"

namespace torch_ring {

namespace {

constexpr int kShrinkAbort = 1;  // torch.distributed.distributed_c10d.SHRINK_ABORT
constexpr std::chrono::milliseconds kRefusal{5000};

// torch makes a group's store out of that of the group of all ranks, by a prefix for the group (where it is
// another one) and one for the device. What is under them is the same object for all groups of a world.
constexpr int kPrefixesOfPart = 2;

const void* world_of(const c10::intrusive_ptr<c10d::Store>& store, bool part) {
    return without_prefixes(store, part ? kPrefixesOfPart : 1).get();
}

// torch numbers the attempts of a process to make the group of all ranks, and puts the number into the
// store's prefix, so that ranks which made a different number of attempts would never meet. Then the prefixes
// for the name and the device do not count.
c10::intrusive_ptr<c10d::Store> meeting_place(const c10::intrusive_ptr<c10d::Store>& store, bool of_all,
                                              const std::string& name) {
    const bool numbered = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char letter) {
        return std::isdigit(letter) != 0;
    });
    if (!of_all || !numbered) return store;
    const auto at = without_prefixes(store, 2);
    if (at == nullptr) return store;
    return c10::make_intrusive<c10d::PrefixStore>("ring of all ranks", at);
}

// How many prefixes a group's store has before those keys that all groups of its world have in common.
int prefixes_to_common(const c10::intrusive_ptr<c10d::Store>& store, bool of_all, const void* world) {
    return !of_all && world != nullptr && world_of(store, true) == world ? kPrefixesOfPart : 0;
}

}  // namespace

RingBackend::RingBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                         const c10::intrusive_ptr<RingOptions>& options)
    : RingBackend(store, rank, size, options, world_of(store, !options->global_ranks_in_group.empty())) {}

RingBackend::RingBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                         const c10::intrusive_ptr<RingOptions>& options, const void* world)
    : c10d::Backend(rank, size), store_(store), world_(world), options_(options) {
    const auto& ranks = options->global_ranks_in_group;
    TorchStore adapted(meeting_place(store, ranks.empty(), options->group_name), size,
                       prefixes_to_common(store, ranks.empty(), world));
    const ring::Communicator::Settings settings{.rank = rank,
                                                .size = size,
                                                .timeout = options->timeout,
                                                .store_host = adapted.host(),
                                                .global_ranks = {ranks.begin(), ranks.end()},
                                                .world = world,
                                                .config = options->config};
    group_ = translated([&] {
        ring::Engine* engine = nullptr;
        try {
            engine = &ring::Engine::of_process();
        } catch (...) {
            ring::Communicator::refuse(adapted, settings, std::current_exception());
            throw;
        }
        return ring::Communicator::create(*engine, adapted, settings);
    });
}

void RingBackend::refuse(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                         std::vector<int> global_ranks, const std::string& group_name,
                         const std::string& why) noexcept {
    try {
        TorchStore adapted(meeting_place(store, global_ranks.empty(), group_name), size);
        ring::Communicator::refuse(adapted,
                                   {.rank = rank,
                                    .size = size,
                                    .timeout = kRefusal,
                                    .global_ranks = std::move(global_ranks),
                                    .config = {}},
                                   std::make_exception_ptr(ring::Error(why)));
    } catch (const std::exception&) {
        // The caller has an error of its own to raise.
    }
}

c10::intrusive_ptr<RingOptions> RingBackend::options_of(const c10::intrusive_ptr<Options>& given,
                                                        const std::vector<int>& ranks) const {
    // A copy: the new group's timeout is its own.
    const auto* const ours = dynamic_cast<const RingOptions*>(given.get());
    auto options = c10::make_intrusive<RingOptions>(ours != nullptr ? *ours : *options_);
    if (given) options->timeout = given->timeout;
    const auto& own = options_->global_ranks_in_group;
    options->global_ranks_in_group.clear();
    for (const int rank : ranks)
        options->global_ranks_in_group.push_back(own.empty() ? static_cast<uint64_t>(rank) : own[rank]);
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
    auto made =
        c10::make_intrusive<RingBackend>(prefixed, static_cast<int>(at - ranks.begin()),
                                         static_cast<int>(ranks.size()), options_of(opts, ranks), world_);
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
    std::vector<int> ranks;
    for (int r = 0; r < getSize(); ++r) {
        if (excluded.contains(r)) continue;
        if (r == getRank()) rank = static_cast<int>(ranks.size());
        name += "/" + std::to_string(r);
        ranks.push_back(r);
    }
    if ((flags & kShrinkAbort) != 0) group_->abort("it is being shrunk");
    const std::lock_guard lock(offspring_mutex_);
    name += "/" + std::to_string(shrinks_++);
    return c10::make_intrusive<RingBackend>(c10::make_intrusive<c10d::PrefixStore>(name, store_), rank,
                                            static_cast<int>(ranks.size()), options_of(opts, ranks), world_);
}

c10::intrusive_ptr<c10d::Backend> RingBackend::merge(const c10::intrusive_ptr<c10d::Store>& store,
                                                     const c10::intrusive_ptr<Options>& opts, const int& rank,
                                                     const int& size) {
    // It may be of ranks of several worlds.
    const auto options = options_of(opts, {});
    options->group_name.clear();
    return c10::make_intrusive<RingBackend>(store, rank, size, options, nullptr);
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
    // torch tells after it has made the group.
    std::call_once(described_, [this] {
        const std::string& text = getGroupDesc();
        if (!text.empty() && text != "undefined" && text != "default_pg") group_->set_description(text);
    });
    auto work = RingWork::start(group_, std::move(call));
    const std::lock_guard lock(coalescing_mutex_);
    if (coalescing_) coalescing_->push_back(work);
    return work;
}

}  // namespace torch_ring
