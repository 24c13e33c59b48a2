// See agenda.h.
#include "ring/engine/agenda.h"

namespace ring {

void Agenda::list(const Communicator* group, Entry& entry) {
    ++entry.wanted;
    if (std::exchange(entry.listed, true)) return;
    wanted_.push_back(group);
}

void Agenda::set_due(const Communicator* group, Entry& entry, Clock::time_point due) {
    if (entry.due == due) return;
    if (entry.due != Clock::time_point::max()) due_.erase({entry.due, group});
    entry.due = due;
    if (due != Clock::time_point::max()) due_.insert({due, group});
}

void Agenda::add(const Communicator* group) {
    const std::lock_guard lock(mutex_);
    list(group, entries_[group]);
}

void Agenda::remove(const Communicator* group) {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(group);
    if (at == entries_.end()) return;
    set_due(group, at->second, Clock::time_point::max());
    std::erase(wanted_, group);
    std::erase(soon_, group);
    entries_.erase(at);
}

void Agenda::want(const Communicator* group) {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(group);
    if (at == entries_.end()) return;
    list(group, at->second);
    at->second.by_timer = false;
}

void Agenda::want_soon(const Communicator* group) {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(group);
    if (at != entries_.end() && !std::exchange(at->second.soon, true)) soon_.push_back(group);
}

void Agenda::timer_has_run_out() {
    const std::lock_guard lock(mutex_);
    for (const Communicator* group : soon_) {
        Entry& entry = entries_[group];
        entry.soon = false;
        entry.by_timer = !entry.listed;
        list(group, entry);
    }
    soon_.clear();
}

std::vector<Agenda::Item> Agenda::items(Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    while (!due_.empty() && due_.begin()->first <= now) {
        const Communicator* const group = due_.begin()->second;
        Entry& entry = entries_[group];
        set_due(group, entry, Clock::time_point::max());
        list(group, entry);
        entry.by_timer = false;
    }
    std::vector<Item> items;
    items.reserve(wanted_.size());
    for (const Communicator* group : wanted_) {
        const Entry& entry = entries_[group];
        items.push_back({group, entry.wanted, entry.by_timer});
    }
    return items;
}

void Agenda::done(const Item& item, Clock::time_point due) {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(item.group);
    if (at == entries_.end()) return;
    Entry& entry = at->second;
    set_due(item.group, entry, due);
    if (entry.wanted != item.wanted || !entry.listed) return;
    entry.listed = entry.by_timer = false;
    std::erase(wanted_, item.group);
}

Clock::time_point Agenda::next() const {
    const std::lock_guard lock(mutex_);
    if (!wanted_.empty()) return {};
    return due_.empty() ? Clock::time_point::max() : due_.begin()->first;
}

}  // namespace ring
