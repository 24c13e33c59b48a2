// An all_to_all of a group that is one cell. Called by all_to_all(), and in parts by host/one_shot.cc.
//
// What each rank sends only it and its receivers know. So a rank that sends little enters with all of that,
// from which each takes what is its own, and one that sends more says so there, and sends messages.
#pragma once

#include "ring/collectives/context.h"

namespace ring {

Task host_all_to_all(Context& context);

// Whether this rank sends so little.
bool enters_with_shares(const Arguments& called, const Layout& layout, const Config& config);

// What it enters with; lies in the context's scratch memory.
Entered shares_to_enter_with(Context& context);
// When all have entered: whether all have done so with what they send, of the sizes that this rank expects.
bool can_take_entered_shares(const Context& context);
// Takes what has come so, and this rank's own. Throws MismatchError where it is not of the size that it
// expects.
void take_entered_shares(Context& context);

}  // namespace ring
