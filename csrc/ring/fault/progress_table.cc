// See progress_table.h.
#include "ring/fault/progress_table.h"

#include <algorithm>
#include <array>
#include <bit>

namespace ring {
namespace {

using Words = std::array<uint64_t, 2>;

}  // namespace

ProgressTable::ProgressTable(int rank, int size, Segment* segment, Edges edges)
    : rank_(rank),
      segment_(segment),
      edges_(std::move(edges)),
      own_(segment == nullptr ? std::make_unique<Segment::Progress[]>(size) : nullptr),
      sent_(size),
      waiting_(size),
      departed_(size, Clock::time_point::max()),
      died_(size),
      seen_(size) {}

// Relaxed, here and below: the values are only compared, and only grow.
Segment::Progress& ProgressTable::entry(int rank) const {
    return segment_ != nullptr ? segment_->progress(rank) : own_[rank];
}

uint64_t ProgressTable::called(int rank) const {
    return entry(rank).operation.load(std::memory_order_relaxed);
}

void ProgressTable::enter(uint64_t operation) {
    entry(rank_).operation.store(operation, std::memory_order_relaxed);
}

void ProgressTable::beat(int waits_for, uint64_t operation, const Signature& called, Clock::duration patience,
                         Clock::time_point now) {
    if (now < next_beat_) return;
    next_beat_ = now + kBeatEvery;
    news_ = true;
    relies_until_ = patience < kBeatAfter ? now : now + kThere;
    if (waiting_[rank_].operation != operation) {
        waits_ = true;
        waiting_[rank_] = {operation, called};
        Segment::Progress& own = entry(rank_);
        const auto words = std::bit_cast<Words>(called);
        const uint64_t version = own.version.load(std::memory_order_relaxed);
        // Release: whoever sees one of them sees that they are being written; and all of them, at the end.
        own.version.store(version + 1, std::memory_order_relaxed);
        own.waits_in.store(operation, std::memory_order_release);
        for (size_t i = 0; i < words.size(); ++i) own.called[i].store(words[i], std::memory_order_release);
        own.version.store(version + 2, std::memory_order_release);
    }
    entry(rank_).waits_for.store(waits_for, std::memory_order_relaxed);
    entry(rank_).beats.fetch_add(1, std::memory_order_relaxed);
    look_at_all(now);
    look_around();
}

void ProgressTable::answer(Clock::time_point now) {
    if (now < next_beat_) return;
    next_beat_ = now + kBeatEvery;
    news_ = true;
    entry(rank_).beats.fetch_add(1, std::memory_order_relaxed);
}

void ProgressTable::look_around() {
    for (int l = 0; segment_ != nullptr && l < segment_->local_size(); ++l) {
        const int rank = segment_->rank_of(l);
        const Segment::Progress& seen = entry(rank);
        Words words;
        // Acquire: pairs with beat().
        const uint64_t version = seen.version.load(std::memory_order_acquire);
        const uint64_t operation = seen.waits_in.load(std::memory_order_acquire);
        for (size_t i = 0; i < words.size(); ++i) words[i] = seen.called[i].load(std::memory_order_acquire);
        const bool whole = version % 2 == 0 && seen.version.load(std::memory_order_relaxed) == version;
        if (whole && rank != rank_ && operation > waiting_[rank].operation) {
            waits_ = true;
            waiting_[rank] = {operation, std::bit_cast<Signature>(words)};
        }
    }
}

void ProgressTable::depart(int rank) {
    if (departed_[rank] != Clock::time_point::max()) return;
    departed_[rank] = Clock::now();
    news_ = true;
    if (segment_ != nullptr) segment_->tell_end(rank, CallProgress::kLeft);
}

void ProgressTable::die(int rank) {
    if (died_[rank]) return;
    died_[rank] = true;
    news_ = true;
    if (segment_ != nullptr) segment_->tell_end(rank, CallProgress::kDied);
}

bool ProgressTable::host_has_news() const {
    return segment_ != nullptr && segment_->ends_told() != ends_heard_;
}

std::vector<int> ProgressTable::hear_host() {
    std::vector<int> died;
    if (!host_has_news()) return died;
    ends_heard_ = segment_->ends_told();
    for (int rank = 0; rank < static_cast<int>(sent_.size()); ++rank) {
        const uint32_t how = rank == rank_ ? 0 : entry(rank).ended.load(std::memory_order_relaxed);
        if (how == CallProgress::kLeft) depart(rank);
        if (how == CallProgress::kDied) died.push_back(rank);
    }
    return died;
}

bool ProgressTable::merge(const CallProgress& heard, Clock::time_point now) {
    const int size = static_cast<int>(sent_.size());
    if (heard.rank < 0 || heard.rank >= size || heard.waits_for < -1 || heard.waits_for >= size) return false;
    if (heard.rank == rank_) return true;
    Segment::Progress& known = entry(heard.rank);
    if (heard.operation > known.operation.load(std::memory_order_relaxed)) {
        known.operation.store(heard.operation, std::memory_order_relaxed);
        news_ = true;
    }
    if (heard.beats > known.beats.load(std::memory_order_relaxed)) {
        news_ = true;
        known.waits_for.store(heard.waits_for, std::memory_order_relaxed);
        known.beats.store(heard.beats, std::memory_order_relaxed);
    }
    if (heard.waits_in > waiting_[heard.rank].operation) {
        news_ = true;
        waits_ = true;
        waiting_[heard.rank] = {heard.waits_in, heard.called};
    }
    if (heard.departed == CallProgress::kLeft) depart(heard.rank);
    if (heard.departed == CallProgress::kDied) die(heard.rank);
    if (heard.waits_in > called(rank_)) answer(now);
    look(heard.rank, now);
    return true;
}

CallProgress ProgressTable::known(int rank) const {
    const Segment::Progress& seen = entry(rank);
    return {.rank = rank,
            .waits_for = seen.waits_for.load(std::memory_order_relaxed),
            .operation = seen.operation.load(std::memory_order_relaxed),
            .beats = seen.beats.load(std::memory_order_relaxed),
            .waits_in = waiting_[rank].operation,
            .called = waiting_[rank].called,
            .departed = died_[rank]                                   ? CallProgress::kDied
                        : departed_[rank] != Clock::time_point::max() ? CallProgress::kLeft
                                                                      : 0};
}

void ProgressTable::look(int rank, Clock::time_point now) {
    const uint64_t beats = entry(rank).beats.load(std::memory_order_relaxed);
    if (beats != seen_[rank].beats) seen_[rank] = {beats, now, looked_};
}

void ProgressTable::look_at_all(Clock::time_point now) {
    for (int rank = 0; rank < static_cast<int>(seen_.size()); ++rank) look(rank, now);
    looked_ = now;
}

void ProgressTable::share(const std::vector<std::unique_ptr<Control>>& controls, Clock::time_point now) {
    if (now < next_share()) return;
    news_ = false;
    may_share_ = now + kShareEvery;
    look_around();
    if (controls.empty()) return;
    look_at_all(now);
    std::vector<CallProgress> news;
    std::vector<CallProgress> rare;  // of these
    for (size_t rank = 0; rank < sent_.size(); ++rank) {
        const CallProgress newest = known(static_cast<int>(rank));
        const CallProgress& before = sent_[rank];
        const bool beats = newest.beats > before.beats;
        // Who does not beat will not tell again how far it is.
        const bool is_rare = newest.waits_in > before.waits_in || newest.departed > before.departed ||
                             (!beats && newest.operation > before.operation);
        if (!is_rare && !beats) continue;
        // Or left to another rank: what that one does not get sent grows again, or is rare.
        sent_[rank] = newest;
        news.push_back(newest);
        if (is_rare) rare.push_back(newest);
    }
    for (const auto& control : controls) control->tell(tells(control->peer(), now) ? news : rare);
}

bool ProgressTable::is_there(int rank, Clock::time_point now) const {
    return now - seen_[rank].after <= kThere && !died_[rank] && departed_[rank] == Clock::time_point::max();
}

bool ProgressTable::tells(int peer, Clock::time_point now) {
    if (now >= relies_until_) return true;
    auto known = known_edges_.find(peer);
    if (known == known_edges_.end()) known = known_edges_.emplace(peer, edges_(peer)).first;
    for (const Edge& edge : known->second)
        if (is_there(edge.from, now) && is_there(edge.to, now)) return edge.from == rank_ && edge.to == peer;
    return true;
}

std::vector<int> ProgressTable::missing(uint64_t operation) const {
    std::vector<int> ranks;
    for (int rank = 0; rank < static_cast<int>(sent_.size()); ++rank)
        if (called(rank) < operation) ranks.push_back(rank);
    return ranks;
}

ProgressTable::Culprit ProgressTable::follow(int rank, uint64_t operation, Clock::duration patience,
                                             Clock::time_point now) const {
    const int size = static_cast<int>(sent_.size());
    // In shared memory it is what another process wrote.
    for (int steps = 0; steps < size && rank >= 0 && rank < size && rank != rank_; ++steps) {
        if (called(rank) < operation) return {rank, false};
        if (now - seen_[rank].at > patience) return {rank, true};
        rank = entry(rank).waits_for.load(std::memory_order_relaxed);
    }
    return {-1, false};
}

}  // namespace ring
