// Which groups the progress thread has to look at, and when. A group that is quiet costs it nothing, however
// many there are. Used by Engine.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ring/base/clock.h"

namespace ring {

class Communicator;

// Groups are only compared here. Thread-safe.
class Agenda {
  public:
    void add(const Communicator* group);  // wanted at once
    void remove(const Communicator* group);

    // It has to be looked at now; or when the timer has run out. Nothing where it was removed.
    void want(const Communicator* group);
    void want_soon(const Communicator* group);
    void timer_has_run_out();

    // One that has to be looked at. It stays on the agenda until it is done, so that another thread that
    // takes over from the one that has it looks at it, too.
    struct Item {
        const Communicator* group;
        uint64_t wanted;  // how often it has been, by then
        bool by_timer;    // nothing else asked for it
    };
    std::vector<Item> items(Clock::time_point now);
    // It has been looked at, and is due again then at the latest; at once if it has been wanted meanwhile.
    void done(const Item& item, Clock::time_point due);

    // When the next one is due, as far as is known now; in the past if one is wanted.
    Clock::time_point next() const;

  private:
    struct Entry {
        uint64_t wanted = 0;
        bool listed = false;    // in wanted_
        bool soon = false;      // in soon_
        bool by_timer = false;  // and only therefore listed
        Clock::time_point due = Clock::time_point::max();
    };
    using Entries = std::unordered_map<const Communicator*, Entry>;

    void list(const Communicator* group, Entry& entry);
    void set_due(const Communicator* group, Entry& entry, Clock::time_point due);

    mutable std::mutex mutex_;  // guards what follows
    Entries entries_;
    std::vector<const Communicator*> wanted_;
    std::vector<const Communicator*> soon_;
    std::set<std::pair<Clock::time_point, const Communicator*>> due_;  // of those that have a time
};

}  // namespace ring
