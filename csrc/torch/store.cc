// See store.h.
#include "torch/store.h"

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <atomic>

#include "ring/base/error.h"
#include "ring/base/interrupt.h"

namespace torch_ring {
namespace {

using std::chrono::milliseconds;

std::atomic<int> in_use{0};

constexpr milliseconds kWhole{24 * 3600 * 1000};
// Of a wait that can be interrupted; each costs the store a round trip.
constexpr milliseconds kSlice{500};

const c10d::Store& innermost(const c10d::Store& store) {
    const auto* prefix = dynamic_cast<const c10d::PrefixStore*>(&store);
    return prefix == nullptr ? store
                             : innermost(*const_cast<c10d::PrefixStore*>(prefix)->getUnderlyingStore());
}

bool is_c10d_own(const c10d::Store& store) {
    const c10d::Store* const inner = &innermost(store);
    return dynamic_cast<const c10d::TCPStore*>(inner) != nullptr ||
           dynamic_cast<const c10d::FileStore*>(inner) != nullptr ||
           dynamic_cast<const c10d::HashStore*>(inner) != nullptr;
}

}  // namespace

TorchStore::TorchStore(c10::intrusive_ptr<c10d::Store> store)
    // Relaxed: it orders nothing. Where two threads meet here, at least one of them gets a connection of its
    // own.
    : store_(in_use.fetch_add(1, std::memory_order_relaxed) == 0 ? std::move(store) : store->clone()) {}

TorchStore::~TorchStore() {
    in_use.fetch_sub(1, std::memory_order_relaxed);
}

void TorchStore::set(const std::string& key, const std::string& value) {
    store_->set(key, std::vector<uint8_t>(value.begin(), value.end()));
}

void TorchStore::wait(const std::vector<std::string>& keys, ring::Deadline deadline) {
    // In slices, since nothing but its timeout ends a wait of c10d's own stores. One that is written in
    // Python runs the handlers itself, and has errors of its own.
    const milliseconds longest = ring::is_interruptible() && is_c10d_own(*store_) ? kSlice : kWhole;
    while (true) {
        ring::check_interrupt();
        const auto slice = ring::Deadline::after(longest);
        try {
            // At least a millisecond: c10d takes 0 for "no limit".
            const int left = deadline.poll_ms(static_cast<int>(longest.count()));
            return store_->wait(keys, milliseconds(std::max(1, left)));
        } catch (const c10::DistStoreError& error) {
            if (deadline.passed()) throw ring::TimeoutError(error.what_without_backtrace());
            if (!slice.passed()) throw;
        }
    }
}

std::string TorchStore::get(const std::string& key, ring::Deadline deadline) {
    wait({key}, deadline);
    const auto value = store_->get(key);
    return {value.begin(), value.end()};
}

std::vector<std::string> TorchStore::get_all(const std::vector<std::string>& keys, ring::Deadline deadline) {
    if (!store_->hasExtendedApi()) return Store::get_all(keys, deadline);
    wait(keys, deadline);
    std::vector<std::string> values;
    for (const auto& value : store_->multiGet(keys)) values.emplace_back(value.begin(), value.end());
    return values;
}

uint64_t TorchStore::count(const std::string& key) {
    return static_cast<uint64_t>(store_->add(key, 1));
}

bool TorchStore::has(const std::string& key) {
    return store_->check({key});
}

std::string TorchStore::host() const {
    const auto* const tcp = dynamic_cast<const c10d::TCPStore*>(&innermost(*store_));
    return tcp == nullptr ? "" : tcp->getHost();
}

}  // namespace torch_ring
