// What it takes of the store until the ranks of a group know each other: counted, with as many ranks as one
// likes, each a thread that does what a rank does but for connecting.
//
// RING_TEST_BOOTSTRAP=512x8,4096x1 adds layouts, hosts x ranks, and the figures of all are printed.
#include "ring/engine/bootstrap.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "group.h"
#include "ring/base/config.h"

namespace ring::testing {
namespace {

using std::chrono::seconds;

// Of the ranks' questions and its answers: how many, how many keys in them, and bytes of keys and values.
struct Traffic {
    size_t calls = 0;
    size_t keys = 0;
    size_t asked_bytes = 0;
    size_t answered_bytes = 0;
    size_t bytes() const { return asked_bytes + answered_bytes; }
};

// All ranks' store. A call that waits is one, however long it takes.
class CountingStore {
  public:
    explicit CountingStore(milliseconds looks_every = seconds(10)) : looks_every_(looks_every) {}

    // One rank's way to it.
    class Client : public Store {
      public:
        explicit Client(CountingStore& store) : store_(store) {}
        Traffic traffic;

        void set(const std::string& key, const std::string& value) override {
            ask({key}, value.size());
            const std::lock_guard lock(store_.mutex_);
            store_.put(key, value);
        }
        std::string get(const std::string& key, Deadline deadline) override {
            return get_all({key}, deadline)[0];
        }
        std::vector<std::string> get_all(const std::vector<std::string>& keys, Deadline deadline) override {
            ask(keys);
            std::vector<std::string> values;
            std::unique_lock lock(store_.mutex_);
            for (const std::string& key : keys) {
                while (!store_.values_.contains(key)) {
                    lock.unlock();
                    if (deadline.passed()) throw TimeoutError("nobody has set '" + key + "'");
                    lock.lock();
                    store_.changed_[key].wait_until(lock, Clock::now() + store_.looks_every_);
                }
                values.push_back(store_.values_[key]);
                traffic.answered_bytes += values.back().size();
            }
            return values;
        }
        std::string compare_set(const std::string& key, const std::string& expected,
                                const std::string& desired) override {
            ask({key}, expected.size() + desired.size());
            const std::lock_guard lock(store_.mutex_);
            const auto there = store_.values_.find(key);
            const std::string value = there == store_.values_.end() ? "" : there->second;
            if (value == expected) store_.put(key, desired);
            const std::string& now = value == expected ? desired : value;
            traffic.answered_bytes += now.size();
            return now;
        }
        void set_all(const std::vector<std::string>& keys, const std::string& value) override {
            ask(keys, value.size());
            const std::lock_guard lock(store_.mutex_);
            for (const std::string& key : keys) store_.put(key, value);
        }
        bool append(const std::string& key, const std::string& text) override {
            ask({key}, text.size());
            const std::lock_guard lock(store_.mutex_);
            store_.put(key, store_.values_[key] + text);
            return true;
        }
        bool has(const std::vector<std::string>& keys) override {
            ask(keys);
            const std::lock_guard lock(store_.mutex_);
            return std::all_of(keys.begin(), keys.end(),
                               [this](const std::string& key) { return store_.values_.contains(key); });
        }
        std::optional<int64_t> count(const std::string& key) override {
            ask({key});
            const std::lock_guard lock(store_.mutex_);
            return ++store_.counts_[key];
        }
        void remove(const std::vector<std::string>& keys) override {
            for (const std::string& key : keys) ask({key});  // as c10d's stores do it
            const std::lock_guard lock(store_.mutex_);
            for (const std::string& key : keys) {
                store_.values_.erase(key);
                store_.counts_.erase(key);
            }
        }

      private:
        void ask(const std::vector<std::string>& keys, size_t bytes = 0) {
            ++traffic.calls;
            traffic.keys += keys.size();
            traffic.asked_bytes += bytes;
            for (const std::string& key : keys) traffic.asked_bytes += key.size();
        }
        CountingStore& store_;
    };

    // Keys of the round, and the bytes of their values.
    size_t kept() {
        const std::lock_guard lock(mutex_);
        return values_.size() + counts_.size() - values_.count("ring/round");
    }
    size_t kept_bytes() {
        const std::lock_guard lock(mutex_);
        size_t bytes = 0;
        for (const auto& [_, value] : values_) bytes += value.size();
        return bytes;
    }

  private:
    void put(const std::string& key, const std::string& value) {
        values_[key] = value;
        if (const auto waiting = changed_.find(key); waiting != changed_.end()) waiting->second.notify_all();
    }

    const milliseconds looks_every_;  // of who waits
    std::mutex mutex_;
    std::map<std::string, std::string> values_;
    std::map<std::string, int64_t> counts_;
    std::map<std::string, std::condition_variable> changed_;
};

struct Outcome {
    std::vector<Traffic> by_rank;
    size_t kept = 0;
    size_t kept_bytes = 0;
    double seconds = 0;
};

// Two addresses per host, and a port per rank.
std::vector<Endpoint> endpoints_of(int host, int rank) {
    const auto port = static_cast<uint16_t>(20'000 + rank);
    return {{"10.0." + std::to_string(host / 250) + "." + std::to_string(host % 250), port},
            {"fd00::" + std::to_string(host), port}};
}

Outcome bootstrap(int hosts, int per_host) {
    CountingStore store;
    const int size = hosts * per_host;
    Outcome outcome;
    outcome.by_rank.resize(static_cast<size_t>(size));
    const auto started = Clock::now();
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < size; ++rank)
        ranks.emplace_back([&, rank] {
            CountingStore::Client client(store);
            Rendezvous meeting(client, {.rank = rank, .size = size}, seconds(600));
            const int host = rank / per_host;
            const std::string doorbell = "torch_ring." + std::string(32, 'd') + std::to_string(rank);
            const Roster roster = exchange_cards(meeting, config(), "host" + std::to_string(host), doorbell,
                                                 "torch_ring.life." + std::string(32, 'l'));
            EXPECT_EQ(roster.doorbells[static_cast<size_t>(rank)], doorbell);
            EXPECT_EQ(roster.ranks_of_host(rank).size(), static_cast<size_t>(per_host));
            EXPECT_EQ(Layout(rank, roster.members, false).hosts(), hosts);
            if (hosts > 1) {
                publish_addresses(client, roster, rank, endpoints_of(host, rank));
                const Addresses all = addresses(client, roster, rank, meeting.deadline());
                const int other = size - 1 - rank;
                EXPECT_EQ(all[static_cast<size_t>(other)], endpoints_of(other / per_host, other));
            }
            meeting.finish(keys_of_addresses(roster));
            outcome.by_rank[static_cast<size_t>(rank)] = client.traffic;
        });
    for (std::thread& rank : ranks) rank.join();
    outcome.seconds = std::chrono::duration<double>(Clock::now() - started).count();
    outcome.kept = store.kept();
    outcome.kept_bytes = store.kept_bytes();
    return outcome;
}

Traffic sum_of(const Outcome& outcome) {
    Traffic sum;
    for (const Traffic& one : outcome.by_rank) {
        sum.calls += one.calls;
        sum.keys += one.keys;
        sum.asked_bytes += one.asked_bytes;
        sum.answered_bytes += one.answered_bytes;
    }
    return sum;
}

std::vector<std::pair<int, int>> layouts() {
    std::vector<std::pair<int, int>> all{{1, 16}, {8, 8}, {64, 1}};
    const char* const more = std::getenv("RING_TEST_BOOTSTRAP");
    std::istringstream words(more == nullptr ? "" : more);
    char by = 0;
    for (int hosts = 0, ranks = 0; words >> hosts >> by >> ranks; words.ignore(1, ','))
        all.emplace_back(hosts, ranks);
    return all;
}

class Bootstrap : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(Bootstrap, AsksTheStoreAFewThingsPerRank) {
    const auto [hosts, per_host] = GetParam();
    const Outcome outcome = bootstrap(hosts, per_host);
    const auto size = static_cast<size_t>(hosts * per_host);
    const Traffic sum = sum_of(outcome);
    std::printf(
        "%d hosts x %d: %zu calls, %zu keys, %.3f MB; rank 0: %zu calls, %.1f KB; the last: %zu calls, "
        "%.1f KB; %zu keys of %.1f KB stay; %.2f s\n",
        hosts, per_host, sum.calls, sum.keys, static_cast<double>(sum.bytes()) / 1e6,
        outcome.by_rank.front().calls, static_cast<double>(outcome.by_rank.front().bytes()) / 1e3,
        outcome.by_rank.back().calls, static_cast<double>(outcome.by_rank.back().bytes()) / 1e3, outcome.kept,
        static_cast<double>(outcome.kept_bytes) / 1e3, outcome.seconds);
    // Besides of these each rank looks, now and then, whether another one has failed.
    const auto looks = static_cast<size_t>(outcome.seconds / 0.05 + 1) * 6;
    size_t last = 0;  // ranks that named all others' cards, when all had formed the group
    for (size_t rank = 0; rank < size; ++rank) {
        const Traffic& one = outcome.by_rank[rank];
        EXPECT_LE(one.calls, 14 + looks) << rank;
        const size_t all = rank == 0 ? 2 * size : 0;  // the cards, and the addresses
        const size_t few = 14 + looks + all + static_cast<size_t>(per_host);
        if (one.keys > few) ++last;
        EXPECT_LE(one.keys, few + size) << rank;
        // What all know of all, what a host's ranks know of each other, and its own card.
        if (rank == 0) continue;
        EXPECT_LE(one.bytes(), 20 * size + 200 * static_cast<size_t>(hosts) +
                                   900 * static_cast<size_t>(per_host) + 3000 + looks * 40)
            << rank;
    }
    EXPECT_LE(last, 1u);
    EXPECT_EQ(outcome.kept, size + 1)
        << "more than the ranks' places and the mark of a group that has formed";
    EXPECT_LE(outcome.kept_bytes, (size + 1) * 40) << "more of a card than says whose place it is";
}

// Whoever has waited for a while has told so, and need not be looked for.
TEST(Missing, IsFoundInAFewRoundTripsForEach) {
    constexpr int kSize = 4096;
    const std::set<int> missing{17, 18, 900, 2500, 4095};
    for (const bool told : {true, false}) {
        CountingStore store;
        CountingStore::Client client(store);
        Rendezvous meeting(client, {.rank = 0, .size = kSize}, seconds(60));
        meeting.join({});
        for (int rank = 1; rank < kSize; ++rank) {
            if (missing.contains(rank)) continue;
            client.set(meeting.keys() + "card/" + std::to_string(rank), "a card");
            // Some come too late to tell.
            if (told && rank % 1000 != 999)
                client.append(meeting.keys() + "come", std::to_string(rank) + " ");
        }
        const size_t before = client.traffic.calls;
        EXPECT_EQ(meeting.missing(), std::vector<int>(missing.begin(), missing.end()));
        const size_t calls = client.traffic.calls - before;
        EXPECT_LE(calls, told ? 24 : 130) << (told ? "told" : "not told");
    }
}

TEST(Missing, HaveNotToldThatTheyHaveCome) {
    constexpr int kSize = 6;
    CountingStore store(milliseconds(20));
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < kSize; ++rank) {
        if (rank == 4) continue;
        ranks.emplace_back([&store, rank] {
            CountingStore::Client client(store);
            Rendezvous meeting(client, {.rank = rank, .size = kSize}, seconds(2));
            EXPECT_THROW(exchange_cards(meeting, config(), "h", "d", "l"), Missing);
        });
    }
    for (std::thread& rank : ranks) rank.join();
    CountingStore::Client client(store);
    std::istringstream words(client.get("ring/0/come", Deadline::after(seconds(20))));
    std::set<int> come;
    for (int rank = 0; words >> rank;) come.insert(rank);
    EXPECT_EQ(come, (std::set<int>{0, 1, 2, 3, 5}));
}

INSTANTIATE_TEST_SUITE_P(Layouts, Bootstrap, ::testing::ValuesIn(layouts()), [](const auto& info) {
    return std::to_string(info.param.first) + "x" + std::to_string(info.param.second);
});

}  // namespace
}  // namespace ring::testing
