// See link_turns.h.
#include "ring/collectives/link_turns.h"

namespace ring {

LinkTurns::LinkTurns(Segment* segment, uint64_t operation, int streams)
    : segment_(segment), streams_(static_cast<uint64_t>(streams)) {
    for (int l = 0; segment_ != nullptr && l < segment_->local_size(); ++l)
        if (Part(*segment_->payload(l, operation, sizeof(Part))) == Part::kTakesTurns) {
            if (l == segment_->local_rank()) mine_ = static_cast<int>(takers_.size());
            takers_.push_back(l);
        }
    if (takers_.size() < 2) mine_ = -1;
}

void LinkTurns::begin(uint64_t& turns, uint64_t rounds) {
    first_ = turns;
    turns += rounds * takers_.size();
}

uint64_t LinkTurns::number(uint64_t round) const {
    return first_ + round * takers_.size() + static_cast<uint64_t>(mine_);
}

PhaseReachedBy LinkTurns::turn(uint64_t round) const {
    const uint64_t mine = number(round);
    // Of an operation's first turns nobody has to end one before.
    if (mine < first_ + streams_) return {*segment_, segment_->local_rank(), kTurns, 0};
    const uint64_t before = mine - streams_;
    return {*segment_, takers_[(before - first_) % takers_.size()], kTurns, before + 1};
}

void LinkTurns::pass(uint64_t round) const {
    segment_->publish(kTurns, number(round) + 1);
}

}  // namespace ring
