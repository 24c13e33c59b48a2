// Small collectives inside one host: each rank enters with what the others need of it, and takes what it
// needs from what they entered with, so that one synchronisation does.
#pragma once

#include "ring/collectives/context.h"

namespace ring {

// Whether an operation goes this way: a rank that has entered it has done all that the others need. The same
// answer on all ranks.
bool is_host_one_shot(const Layout& layout, const Config& config, const Signature& called);

// Whether it may be, as far as this rank knows: of an all_to_all the others may send more.
bool may_be_host_one_shot(const Layout& layout, const Config& config, const Arguments& called);

// Up to how many bytes one goes this way that does so up to `own` where each rank has a core: one
// synchronisation takes longer than copies where those that are waited for must first get a core.
size_t one_shot_limit(size_t own, const Layout& layout, const Config& config);

// Any but all_to_all, of a group that is one cell. Sums are in order of local rank.
Task host_one_shot(Context& context);

// The same in parts, for a caller that polls for the others itself, with nothing else under way: enters; and
// once all have entered, called the same, and it can, takes what this rank needs. If it gives up in between,
// the coroutine of the collective goes on from there.
void enter_one_shot(Context& context);
bool can_take_one_shot(const Context& context);
void take_one_shot(Context& context);

// Reduces what the ranks of the cell entered with, from `offset` on, to `to`, which may be this rank's own
// part of it if elements keep their size; `mine` is what this one entered with, as many bytes as the others.
// Between all have entered the operation and this rank passes its lane.
void sum_of_host(Context& context, void* to, const Entered& mine, size_t offset, ReduceStage stage);

}  // namespace ring
