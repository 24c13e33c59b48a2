// Turns of a cell's ranks at the links between hosts, so that a host hears from another over as many
// connections at a time as a link has streams, and not over one for each of its ranks. Used by all_to_all.
//
// The ranks that expect large messages take turns, in the order of their local ranks, one in each of some
// rounds; the others need not wait for them. They hold the rail lane meanwhile, so that the turns of one
// operation are numbered before those of the next.
#pragma once

#include <cstdint>
#include <vector>

#include "ring/transport/shm/segment.h"

namespace ring {

class LinkTurns {
  public:
    // The payload to enter the operation with.
    enum class Part : uint8_t { kNone = 0, kTakesTurns };

    // When all local ranks have entered the operation; before the lane of its entry is passed. `segment`:
    // null for a rank that is alone in its cell. `streams`: turns at a time.
    LinkTurns(Segment* segment, uint64_t operation, int streams);

    // In lane kRail. `turns`: the group's, which counts on. All local ranks have the same number of rounds.
    void begin(uint64_t& turns, uint64_t rounds);
    // Whether there is anybody to take turns with; if not, the rest is not to be called.
    bool needed() const { return mine_ >= 0; }
    // To be awaited, before this rank receives what it gets in that round.
    PhaseReachedBy turn(uint64_t round) const;
    // Gives it on.
    void pass(uint64_t round) const;

  private:
    uint64_t number(uint64_t round) const;

    Segment* segment_;
    uint64_t streams_;
    std::vector<int> takers_;  // local ranks
    int mine_ = -1;            // this rank's place among them
    uint64_t first_ = 0;       // turns before this operation
};

}  // namespace ring
