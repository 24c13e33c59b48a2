// Groups that ranks make in different orders: who failed to make one, since others were making another one
// under its name, says so where the ranks of all groups look. A rank that waits for it in a group that it
// could make, the other one of the two, learns why it does not come. Used by Communicator::create().
//
//   ring/crossed/<world>          is there once a rank of this world has failed so
//   ring/crossed/<world>/<r>      why rank r (its global number) did, until it has made a group again
//
// in Store::common().
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "ring/engine/rendezvous.h"

namespace ring {

// What a rank remembers of them, in all groups of one world.
struct CrossingMemory {
    std::mutex mutex;               // guards what follows
    std::set<std::string> known{};  // what it has failed of: it need not be told again
    bool told = false;              // its own words stand in the store
};

// Of one rank and one group; not thread-safe. Without a memory, which the group of all ranks has, or a common
// store it does nothing.
class Crossings {
  public:
    Crossings(Rendezvous& meeting, CrossingMemory* memory) : meeting_(meeting), memory_(memory) {}

    // This rank has failed so. Never throws.
    void tell(const Crossed& error);
    // It has made a group again. Never throws.
    void take_back();
    // Throws Crossed where a rank has failed to make this group, or another one in its place, and has not
    // come: for some seconds; or at once, where it is known that it does not.
    void look(bool at_once = false);

  private:
    bool able() const;
    Store& store() const { return *meeting_.store().common(); }
    std::string key() const;
    std::string key_of(int rank) const;
    void look_at(int rank);

    Rendezvous& meeting_;
    CrossingMemory* const memory_;
    const Clock::time_point start_ = Clock::now();
};

}  // namespace ring
