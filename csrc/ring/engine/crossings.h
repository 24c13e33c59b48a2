// Groups that ranks make in different orders: who failed to make one, since others were making another one
// under its name, says so where the ranks of all groups look. A rank that waits for it in a group that it
// could make, the other one of the two, learns why it does not come. Used by Communicator::create().
//
//   ring/crossed/<world>          is there once a rank of this world has failed so
//   ring/crossed/<world>/<r>      in which words rank r (its global number) did, until it makes a group again
//
// in Store::common().
#pragma once

#include <string>

#include "ring/engine/rendezvous.h"

namespace ring {

// Of one rank and one group; not thread-safe. Without a common store it does nothing.
class Crossings {
  public:
    explicit Crossings(Rendezvous& meeting) : meeting_(meeting) {}

    // This rank has failed so. Never throws. Returns whether it could say so.
    bool tell(const Crossed& error);
    // It makes a group again.
    void take_back();
    // Throws Crossed where a rank that has not come for some seconds has failed to make this group or another
    // one in its place.
    void look();

  private:
    std::string key() const;
    std::string key_of(int rank) const;
    Store* store() const;

    Rendezvous& meeting_;
    const Clock::time_point start_ = Clock::now();
};

}  // namespace ring
