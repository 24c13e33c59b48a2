// See store.h.
#include "torch/store.h"

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <atomic>

#include "ring/base/error.h"

namespace torch_ring {
namespace {

std::atomic<int> in_use{0};

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
    try {
        // At least a millisecond: c10d takes 0 for "no limit".
        store_->wait(keys, std::chrono::milliseconds(std::max(1, deadline.poll_ms(24 * 3600 * 1000))));
    } catch (const c10::DistStoreError& error) {
        if (deadline.passed()) throw ring::TimeoutError(error.what_without_backtrace());
        throw;
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
    const c10d::Store* store = store_.get();
    while (const auto* prefix = dynamic_cast<const c10d::PrefixStore*>(store))
        store = const_cast<c10d::PrefixStore*>(prefix)->getUnderlyingStore().get();
    const auto* tcp = dynamic_cast<const c10d::TCPStore*>(store);
    return tcp == nullptr ? "" : tcp->getHost();
}

}  // namespace torch_ring
