// A group that waits, in one thread and by a clock that the test moves on: the tables of progress of its
// ranks, over real segments and real control connections, whose bytes are counted.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fake_fabric.h"
#include "group.h"
#include "ring/engine/connections.h"
#include "ring/fault/control.h"
#include "ring/fault/progress_table.h"
#include "ring/fault/timeouts.h"
#include "ring/fault/watch.h"
#include "ring/topology/layout.h"
#include "segments.h"

namespace ring::testing {

class CountingPipe : public Pipe {
  public:
    CountingPipe(std::unique_ptr<Pipe> pipe, size_t& written) : pipe_(std::move(pipe)), written_(written) {}
    size_t write(const iovec* pieces, int count) override {
        const size_t bytes = pipe_->write(pieces, count);
        written_ += bytes;
        return bytes;
    }
    size_t read(const iovec* pieces, int count) override { return pipe_->read(pieces, count); }
    int fd() const override { return pipe_->fd(); }
    bool ready(bool write) const override { return pipe_->ready(write); }
    bool pending() const override { return pipe_->pending(); }

  private:
    const std::unique_ptr<Pipe> pipe_;
    size_t& written_;
};

class WaitingHosts {
  public:
    enum class State { kWaits, kLate, kEnded, kStopped, kDead, kLeft };

    static constexpr uint64_t kOperation = 5;
    static constexpr milliseconds kStep{5};

    // All ranks wait in kOperation, for the first of the `late` ones, which have not called it.
    WaitingHosts(const Hosts& hosts, const std::set<int>& late, bool flat = false,
                 milliseconds patience = kBeatAfter)
        : hosts_(hosts), first_late_(*late.begin()), patience_(patience), sent_(hosts.size()) {
        std::vector<Member> members;
        for (size_t h = 0; h < hosts.size(); ++h) {
            std::vector<int> ranks;
            for (int l = 0; l < hosts[h]; ++l) {
                ranks.push_back(static_cast<int>(members.size()));
                members.push_back({.host_id = std::to_string(h), .host_name = std::to_string(h)});
            }
            if (hosts[h] > 1) segments_[h] = std::make_unique<Segments>(ranks, ranks_of(hosts));
        }
        for (int rank = 0; rank < ranks_of(hosts); ++rank) {
            auto layout = std::make_unique<Layout>(rank, members, flat);
            Segment* const segment = segment_of(host_of(rank), layout->local_index(rank));
            auto edges =
                Watch::edges(*layout, [&layout = *layout](int one) { return neighbours(layout, one); });
            auto table = std::make_unique<ProgressTable>(rank, layout->size(), segment, std::move(edges));
            table->enter(late.contains(rank) ? kOperation - 1 : kOperation);
            ranks_.push_back({.layout = std::move(layout),
                              .table = std::move(table),
                              .controls = {},
                              .state = late.contains(rank) ? State::kLate : State::kWaits,
                              .begins = now_ + milliseconds(37 * rank % 100),
                              .called = {}});
        }
        for (int rank = 0; rank < ranks_of(hosts); ++rank)
            for (const int peer : neighbours(*ranks_[rank].layout, rank))
                if (rank < peer && host_of(rank) != host_of(peer)) connect(rank, peer);
        last_grown_.assign(hosts.size(), std::vector<Clock::time_point>(ranks_.size(), now_));
        beats_.assign(hosts.size(), std::vector<uint64_t>(ranks_.size()));
        longest_gap_.assign(hosts.size(), std::vector<Clock::duration>(ranks_.size()));
    }

    // A rank does not wait yet: it has called kOperation, but is busy.
    void hold(int rank, milliseconds time) { ranks_[rank].begins += time; }
    // It has called something else than the others.
    void call_differently(int rank) { ranks_[rank].called.count = 1; }
    bool finds_mismatch(int rank) {
        return ranks_[rank].table->mismatch([](uint64_t) { return std::optional<Signature>(); }).has_value();
    }

    void pass(milliseconds time) {
        for (const auto until = now_ + time; now_ < until;) {
            now_ += kStep;
            for (size_t rank = 0; rank < ranks_.size(); ++rank)
                if (runs(rank)) step(static_cast<int>(rank));
            note_beats();
        }
    }

    void become(int rank, State state) {
        ranks_[rank].state = state;
        if (state != State::kDead && state != State::kLeft) return;
        if (state == State::kLeft)
            for (const auto& control : ranks_[rank].controls) control->send(Control::Type::kGoodbye, "");
        ranks_[rank].controls.clear();
        for (const int other : ranks_[rank].layout->host_ranks())
            if (other != rank && runs(other)) end(other, rank, state == State::kLeft);
    }

    // To how many others a host has connections.
    size_t neighbours_of(int host) const {
        std::set<int> others;
        for (size_t rank = 0; rank < ranks_.size(); ++rank)
            if (host_of(static_cast<int>(rank)) == host)
                for (const int peer : neighbours(*ranks_[rank].layout, static_cast<int>(rank)))
                    others.insert(host_of(peer));
        others.erase(host);
        return others.size();
    }
    // Bytes that the ranks of a host have sent to other hosts since the last time.
    size_t take_sent(int host) { return std::exchange(sent_[host], 0); }
    // The longest time since the last call in which a host heard no new beat of a rank.
    Clock::duration take_longest_gap(int host, int rank) {
        return std::exchange(longest_gap_[host][rank], Clock::duration{});
    }
    Clock::time_point last_heard(int host, int rank) const { return last_grown_[host][rank]; }
    Clock::time_point now() const { return now_; }
    State state(int rank) const { return ranks_[rank].state; }
    int host_of(int rank) const {
        int host = 0;
        for (int first = rank; first >= hosts_[host]; ++host) first -= hosts_[host];
        return host;
    }

    // Whom a rank would blame now, were it to wait for `awaited`.
    std::string blame(int rank, int awaited) {
        return ranks_[rank].table->blame(
            kOperation, {awaited}, patience_, [](int one) { return "rank " + std::to_string(one); },
            [this](int a, int b) { return host_of(a) == host_of(b); }, now_);
    }

  private:
    struct Rank {
        std::unique_ptr<Layout> layout;
        std::unique_ptr<ProgressTable> table;
        std::vector<std::unique_ptr<Control>> controls;
        State state;
        Clock::time_point begins;  // to beat
        Signature called;
    };

    Segment* segment_of(int host, int local) {
        const auto found = segments_.find(host);
        return found == segments_.end() ? nullptr : &found->second->of(local);
    }
    bool runs(size_t rank) const {
        const State state = ranks_[rank].state;
        return state == State::kWaits || state == State::kLate || state == State::kEnded;
    }

    void connect(int a, int b) {
        auto ends = FakeNetwork::pipe();
        const auto add = [this](int rank, int peer, std::unique_ptr<Pipe> end) {
            ranks_[rank].controls.push_back(std::make_unique<Control>(
                peer, std::make_unique<CountingPipe>(std::move(end), sent_[host_of(rank)])));
        };
        add(a, b, std::move(ends.first));
        add(b, a, std::move(ends.second));
    }

    // What a Watch does of all that, in its order.
    void step(int rank) {
        Rank& one = ranks_[rank];
        for (const auto& control : one.controls) {
            if (control->closed()) continue;
            control->flush();
            for (const auto& message : control->receive()) {
                if (message.type != Control::Type::kProgress) continue;
                const auto heard = decode_progress(message.payload);
                ASSERT_TRUE(heard.has_value());
                for (const CallProgress& news : *heard) ASSERT_TRUE(one.table->merge(news, now_));
            }
            if (control->closed()) end(rank, control->peer(), control->said_goodbye());
        }
        one.table->share(one.controls, now_);
        for (const int dead : one.table->hear_host())
            if (host_of(dead) != host_of(rank)) one.table->die(dead);
        if (one.state == State::kWaits && now_ >= one.begins) {
            one.table->beat(first_late_, kOperation, one.called, patience_, now_);
            one.table->share(one.controls, now_);
        }
    }
    void end(int rank, int gone, bool left) {
        if (left)
            ranks_[rank].table->depart(gone);
        else
            ranks_[rank].table->die(gone);
    }

    void note_beats() {
        for (const auto& [host, segments] : segments_)
            for (size_t rank = 0; rank < ranks_.size(); ++rank) {
                const uint64_t beats = segments->of(0).progress(static_cast<int>(rank)).beats.load();
                auto& last = last_grown_[host][rank];
                auto& longest = longest_gap_[host][rank];
                longest = std::max(longest, now_ - last);
                if (beats != std::exchange(beats_[host][rank], beats)) last = now_;
            }
    }

    const Hosts hosts_;
    const int first_late_;
    const milliseconds patience_;
    Clock::time_point now_ = Clock::now();
    std::map<int, std::unique_ptr<Segments>> segments_;  // by host, of more than one rank
    std::vector<size_t> sent_;                           // by host
    std::vector<Rank> ranks_;
    // By host and rank.
    std::vector<std::vector<Clock::time_point>> last_grown_;
    std::vector<std::vector<uint64_t>> beats_;
    std::vector<std::vector<Clock::duration>> longest_gap_;
};

}  // namespace ring::testing
