// See measure.h.
//
// On the ring of the leaders everyone sends to the next and receives from the previous at the same time: an
// empty frame, again and again, for the latency, then data for the rate. Token buckets and socket buffers let
// the first bytes pass at any speed, so that the rate is taken from what follows them.
#include "ring/engine/measure.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "ring/base/error.h"
#include "ring/base/interrupt.h"
#include "ring/engine/spinner.h"

namespace ring {
namespace {

constexpr int kPings = 8;
constexpr int kPingRounds = 3;
constexpr size_t kWarmBytes = 256 << 10;
constexpr size_t kTimedBytes = 512 << 10;
// In a row: a rank that had to wait for a core finds data that came meanwhile, and takes them in no time; so
// one shift alone says little.
constexpr int kTimedShifts = 4;
// How long it polls before it sleeps: the neighbour may still be starting, perhaps on this very core. By the
// clock, since where hundreds of ranks share the cores each poll gives way to all others.
constexpr int kSpinUs = 1000;
// How long it does where the kernel does not tell when to go on.
constexpr std::chrono::microseconds kNap{50};

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

class Prober {
  public:
    Prober(uint64_t group, const Layout& layout, Link& next, Link& prev, Deadline deadline)
        : group_(group), layout_(layout), next_(next), prev_(prev), deadline_(deadline) {}

    // One way, with everything that a frame costs its sender and receiver. Of a few in a row, so that it
    // counts where ranks wait for a core that they share; of the best such row, since others may still be
    // starting.
    double latency() {
        double best = 1;
        for (int round = 0; round < kPingRounds; ++round) {
            double seconds = 0;
            for (int i = 0; i < kPings; ++i) seconds += shift(0);
            best = std::min(best, seconds / kPings);
        }
        return best;
    }
    double seconds_per_byte() {
        shift(kWarmBytes);
        double seconds = 0;
        for (int i = 0; i < kTimedShifts; ++i) seconds += shift(kTimedBytes);
        return seconds / (kTimedShifts * kTimedBytes);
    }

  private:
    // Sends so many bytes to the next and receives as many from the previous.
    double shift(size_t bytes) {
        out_.resize(bytes);
        in_.resize(bytes);
        FrameHeader header;
        header.group = group_;
        header.length = bytes;
        const auto start = Clock::now();
        const uint64_t sent = next_.post_send(header, out_.data());
        const uint64_t received = prev_.post_recv(header, in_.data());
        Interrupts interrupts;
        Spinner spinner(kSpinUs, 0);
        while (next_.sent() < sent || prev_.received() < received) {
            bool moved = progress(next_);
            if (&prev_ != &next_) moved = progress(prev_) || moved;
            if (moved) {
                spinner.reset();
            } else if (deadline_.passed()) {
                throw TimeoutError(layout_.describe(prev_.peer()) +
                                   " did not answer in time while the links were measured");
            } else if (!spinner.again()) {
                sleep(next_.sent() < sent, prev_.received() < received, interrupts.next(Clock::now()));
                if (const auto now = Clock::now(); now >= interrupts.next(now)) interrupts.check();
            }
        }
        return seconds_since(start);
    }

    // Until one of the links can move something, `until` at the latest.
    void sleep(bool sends, bool receives, Clock::time_point until) const {
        std::vector<pollfd> waiting;
        const auto add = [&](const Link& link, short events) {
            for (const int fd : link.fds()) waiting.push_back({fd, events, 0});
        };
        if (receives) add(prev_, POLLIN);
        if (sends) add(next_, POLLOUT);
        if (prev_.fds().empty() || next_.fds().empty())
            std::this_thread::sleep_for(kNap);
        else if (::poll(waiting.data(), waiting.size(),
                        Deadline(std::min(until, deadline_.next_look())).poll_ms()) < 0 &&
                 errno != EINTR)
            throw_errno("poll");
    }

    bool progress(Link& link) const {
        try {
            return link.progress();
        } catch (const PeerGone& gone) {
            throw PeerError(layout_.describe(link.peer()) +
                            " is gone, while the links were measured: " + gone.what());
        }
    }

    uint64_t group_;
    const Layout& layout_;
    Link& next_;
    Link& prev_;
    Deadline deadline_;
    std::vector<std::byte> out_;
    std::vector<std::byte> in_;
};

std::string known_key(const Roster& roster) {
    return roster.keys + "link/known";
}
std::string agreed_key(const Roster& roster) {
    return roster.keys + "link/agreed";
}
std::string measured_key(const Roster& roster, int cell) {
    return roster.keys + "link/" + std::to_string(cell);
}

std::string encode(const LinkCost& link) {
    std::ostringstream text;
    text.precision(17);
    text << link.latency_s << " " << link.seconds_per_byte;
    return text.str();
}

LinkCost decode(const std::string& text) {
    LinkCost link = default_machine().link;
    std::istringstream(text) >> link.latency_s >> link.seconds_per_byte;
    return link;
}

LinkCost given_link(const std::string& text) {
    double gbit = 0;
    double us = 0;
    char comma = 0;
    std::string rest;
    std::istringstream words(text);
    if (!(words >> gbit >> comma >> us) || comma != ',' || (words >> rest) || gbit <= 0 || us < 0)
        throw ConfigError("TORCH_RING_LINK='" + text +
                          "' is not allowed; allowed: the links' rate in Gbit/s and their one-way latency in "
                          "microseconds, such as 25,50");
    LinkCost link = default_machine().link;
    link.latency_s = us * 1e-6;
    link.seconds_per_byte = 8 / (gbit * 1e9);
    return link;
}

// Waits for what these ranks put into the store, each at the key of the same place.
std::vector<std::string> expect(Store& store, const std::vector<std::string>& keys,
                                const std::vector<std::string>& who, Deadline deadline) {
    try {
        return store.get_all(keys, deadline);
    } catch (const TimeoutError&) {
        std::string missing;
        for (size_t i = 0; i < keys.size(); ++i)
            if (!store.has({keys[i]})) missing += (missing.empty() ? "" : ", ") + who[i];
        throw Bystander((missing.empty() ? "the store" : missing) +
                        " did not tell in time what it measured of the links between the hosts");
    }
}

std::string expect(Store& store, const std::string& key, const std::string& who, Deadline deadline) {
    return expect(store, std::vector{key}, std::vector{who}, deadline).front();
}

// What groups over the same hosts measured before, kept by the process of rank 0.
class Remembered {
  public:
    static std::string key_of(const Layout& layout) {
        std::string key;
        for (int cell = 0; cell < layout.cells(); ++cell)
            key += layout.member(layout.cell(cell).front()).host_id + "\n";
        return key;
    }
    std::string find(const std::string& key) {
        const std::lock_guard lock(mutex_);
        const auto known = links_.find(key);
        return known == links_.end() ? "" : known->second;
    }
    void keep(const std::string& key, const std::string& link) {
        const std::lock_guard lock(mutex_);
        links_[key] = link;
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::string> links_;
};

}  // namespace

Machine measure_machine(Store& store, const std::string& given, const Layout& layout, const Roster& roster,
                        Connections& connections, Deadline deadline) {
    static Remembered remembered;
    Machine machine = default_machine();
    if (layout.cells() == 1) return machine;
    if (!given.empty()) {
        machine.link = given_link(given);
        return machine;
    }
    const bool first = layout.rank() == 0;
    if (first) {
        const std::string known = remembered.find(Remembered::key_of(layout));
        store.set(known_key(roster), known.empty() ? "no" : known);
    }
    std::string agreed = expect(store, known_key(roster), layout.name(0), deadline);
    if (agreed == "no") {
        if (layout.local_rank() == 0) {
            const int n = layout.cells();
            const int me = layout.my_cell_index();
            Prober prober(roster.group, layout, *connections.links[(me + 1) % n],
                          *connections.links[(me + n - 1) % n], deadline);
            const double latency = prober.latency();
            const LinkCost mine{latency, prober.seconds_per_byte(), 0};
            store.set(measured_key(roster, me), encode(mine));
        }
        if (first) {
            std::vector<std::string> keys;
            std::vector<std::string> leaders;
            for (int cell = 0; cell < layout.cells(); ++cell) {
                keys.push_back(measured_key(roster, cell));
                leaders.push_back(layout.name(layout.cell(cell).front()));
            }
            LinkCost slowest{};
            for (const std::string& text : expect(store, keys, leaders, deadline)) {
                const LinkCost one = decode(text);
                slowest.latency_s = std::max(slowest.latency_s, one.latency_s);
                slowest.seconds_per_byte = std::max(slowest.seconds_per_byte, one.seconds_per_byte);
            }
            store.set(agreed_key(roster), encode(slowest));
            remembered.keep(Remembered::key_of(layout), encode(slowest));
        }
        agreed = expect(store, agreed_key(roster), layout.name(0), deadline);
        // Rank 0 has read it.
        if (layout.local_rank() == 0) store.remove({measured_key(roster, layout.my_cell_index())});
    }
    machine.link = decode(agreed);
    return machine;
}

std::vector<std::string> keys_of_measuring(const Roster& roster) {
    return {known_key(roster), agreed_key(roster)};
}

}  // namespace ring
