// See store.h.
#include "c10d/store.h"

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <atomic>
#include <thread>

#include "ring/base/error.h"
#include "ring/base/interrupt.h"

namespace torch_ring {
namespace {

using std::chrono::milliseconds;

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

constexpr milliseconds kWhole{24 * 3600 * 1000};

// A wait of c10d's that comes to its end logs warnings, so what may be interrupted asks again and again: in
// steps that grow with the time it has waited, with the number of keys, and with that of the ranks, since
// they all ask one store.
constexpr std::chrono::microseconds kFirstStep{100};
constexpr milliseconds kLongestStep{20};
constexpr int kStepsPerWait = 4;
constexpr size_t kKeysPerStep = 32;
constexpr size_t kRanksPerStep = 256;
// Asked for together where there are no more; else for one that is missing, and for all when it has come.
constexpr size_t kAskedTogether = 64;
// A value that nobody sets. Compared with what is there it changes nothing, and in one round trip tells what
// that is; c10d's own get takes two, after one to ask whether it would have to wait.
const std::string kNobodys = "\x15 nobody has set it";

// The pauses of one wait.
class Pauses {
  public:
    Pauses(size_t keys, size_t ranks, ring::Deadline deadline)
        : scale_(static_cast<int>(1 + std::max(keys / kKeysPerStep, ranks / kRanksPerStep))),
          deadline_(deadline) {}
    // Throws TimeoutError where none is left, or what an interruption throws.
    void pause(const std::string& missing) const {
        ring::check_interrupt();
        if (deadline_.passed()) throw ring::TimeoutError("no value in the store for '" + missing + "'");
        const auto step = std::clamp<ring::Clock::duration>((ring::Clock::now() - start_) / kStepsPerWait,
                                                            kFirstStep, kLongestStep);
        std::this_thread::sleep_until(std::min(deadline_.at(), ring::Clock::now() + scale_ * step));
    }

  private:
    const ring::Clock::time_point start_ = ring::Clock::now();
    const int scale_;
    const ring::Deadline deadline_;
};

}  // namespace

// Whether another one is there.
class TorchStore::Turn {
  public:
    // Relaxed: it orders nothing. Where two threads meet here, at least one of them gets a connection of its
    // own.
    Turn() : first_(in_use.fetch_add(1, std::memory_order_relaxed) == 0) {}
    ~Turn() { in_use.fetch_sub(1, std::memory_order_relaxed); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    bool first() const { return first_; }

  private:
    static inline std::atomic<int> in_use{0};
    const bool first_;
};

TorchStore::TorchStore(std::unique_ptr<Turn> turn, c10::intrusive_ptr<c10d::Store> store, int ranks)
    : turn_(std::move(turn)),
      store_(turn_ == nullptr || turn_->first() ? std::move(store) : store->clone()),
      own_(is_c10d_own(*store_)),
      ranks_(ranks) {}

TorchStore::TorchStore(c10::intrusive_ptr<c10d::Store> store, int ranks, int common)
    : TorchStore(std::make_unique<Turn>(), std::move(store), ranks) {
    if (common > 0)
        if (auto below = without_prefixes(store_, common))
            common_.reset(new TorchStore(nullptr, std::move(below), ranks));
}

TorchStore::~TorchStore() = default;

c10::intrusive_ptr<c10d::Store> without_prefixes(c10::intrusive_ptr<c10d::Store> store, int prefixes) {
    for (; prefixes > 0; --prefixes) {
        auto* prefix = dynamic_cast<c10d::PrefixStore*>(store.get());
        if (prefix == nullptr) return nullptr;
        store = prefix->getUnderlyingStore();
    }
    return store;
}

void TorchStore::set(const std::string& key, const std::string& value) {
    store_->set(key, std::vector<uint8_t>(value.begin(), value.end()));
}

void TorchStore::wait(const std::vector<std::string>& keys, ring::Deadline deadline) {
    if (!own_) {
        // One that is written in Python runs its handlers itself, and has errors of its own.
        try {
            return store_->wait(keys, milliseconds(std::max(1, deadline.poll_ms(kWhole.count()))));
        } catch (const c10::DistStoreError& error) {
            if (deadline.passed()) throw ring::TimeoutError(error.what_without_backtrace());
            throw;
        }
    }
    const Pauses pauses(keys.size(), static_cast<size_t>(ranks_), deadline);
    std::vector<std::string> asked = keys;
    while (true) {
        if (store_->check(asked)) {
            if (asked.size() == keys.size()) return;
            asked = keys;
            continue;
        }
        // Halves until one is left that is missing.
        while (asked.size() > kAskedTogether) {
            const auto middle = asked.begin() + static_cast<std::ptrdiff_t>(asked.size() / 2);
            const std::vector<std::string> half(asked.begin(), middle);
            if (store_->check(half))
                asked.erase(asked.begin(), middle);
            else
                asked = half;
        }
        pauses.pause(asked.front());
    }
}

std::string TorchStore::get(const std::string& key, ring::Deadline deadline) {
    if (!own_) {
        wait({key}, deadline);
        const auto value = store_->get(key);
        return {value.begin(), value.end()};
    }
    const Pauses pauses(1, static_cast<size_t>(ranks_), deadline);
    while (true) {
        std::string value = store_->compareSet(key, kNobodys, kNobodys);
        if (value != kNobodys) return value;
        pauses.pause(key);
    }
}

std::vector<std::string> TorchStore::get_all(const std::vector<std::string>& keys, ring::Deadline deadline) {
    if (!store_->hasExtendedApi()) return Store::get_all(keys, deadline);
    wait(keys, deadline);
    std::vector<std::string> values;
    for (const auto& value : store_->multiGet(keys)) values.emplace_back(value.begin(), value.end());
    return values;
}

std::string TorchStore::compare_set(const std::string& key, const std::string& expected,
                                    const std::string& desired) {
    return store_->compareSet(key, expected, desired);
}

void TorchStore::set_all(const std::vector<std::string>& keys, const std::string& value) {
    if (!store_->hasExtendedApi()) return Store::set_all(keys, value);
    store_->multiSet(keys, std::vector(keys.size(), std::vector<uint8_t>(value.begin(), value.end())));
}

bool TorchStore::append(const std::string& key, const std::string& text) {
    if (!own_ || !store_->hasExtendedApi()) return false;
    store_->append(key, std::vector<uint8_t>(text.begin(), text.end()));
    return true;
}

bool TorchStore::has(const std::vector<std::string>& keys) {
    return store_->check(keys);
}

std::optional<int64_t> TorchStore::count(const std::string& key) {
    return own_ ? std::optional(store_->add(key, 1)) : std::nullopt;
}

void TorchStore::remove(const std::vector<std::string>& keys) {
    if (!own_) return;
    for (const std::string& key : keys) store_->deleteKey(key);
}

std::string TorchStore::host() const {
    const auto* const tcp = dynamic_cast<const c10d::TCPStore*>(&innermost(*store_));
    return tcp == nullptr ? "" : tcp->getHost();
}

}  // namespace torch_ring
