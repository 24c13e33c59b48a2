// How long a group waits before it believes something of its peers, and why so long: all such times in one
// place, but for those of single connections (transport/tcp) and of who drives (engine/baton.cc, leaders.cc).
// The user sets one besides, the timeout of the group and of each operation.
#pragma once

#include "ring/base/clock.h"

namespace ring {

// ---- while a group forms (engine/rendezvous.cc, engine/forming.cc, engine/crossings.cc) ----

// The first look at what the others say comes soon, since most failures are there from the start; each costs
// the store a round trip, so those after it come less often, and the less often the more ranks there are.
constexpr milliseconds kFirstLook{50};
constexpr milliseconds kLook{500};
constexpr milliseconds kLookPerRank{1};
// How long a rank waits before it tells that it has come, for whoever looks then who has not.
constexpr milliseconds kTellsItCame{400};
// How long a rank that lost a connection, or waited in vain, waits for the words of who knows more.
constexpr milliseconds kWords{500};
// How long the first rank stays until the others have heard why the group does not form, since the store may
// end with it; and how often it looks.
constexpr milliseconds kHeard{1000};
constexpr milliseconds kHeardLook{5};
// How long cards that do not fit may be those of an older round, whose ranks have not come back yet.
constexpr milliseconds kStale{30'000};
// After each round that it leaves a rank waits so much longer before the next, lest two chase each other.
constexpr milliseconds kBackOff{5};
// How long a rank that has ended may take to come again: what starts it anew needs about a second.
constexpr milliseconds kComesAgain{3000};
// How long what a rank has sent before it ended may take to arrive inside this host.
constexpr milliseconds kOnItsWay{1000};
// How long a rank waits for one that failed of crossed orders: who caught the error and goes on may come all
// the same.
constexpr milliseconds kCrossed{3000};

// ---- while it works (fault/) ----

// How long a rank waits before it tells the others how far it is; a quarter of the timeout if that is less.
constexpr milliseconds kBeatAfter{1000};
// How often it says so then. A rank that has not for as long as it waited before the first is taken for
// stopped.
constexpr milliseconds kBeatEvery{100};
// Who has beaten within so long is there, and may be left to tell other hosts of the beats of its own. When
// it is stopped, they hear none for this time, one beat before and another until the next rank takes over,
// and the hops between: they must not think so soon that all have stopped.
constexpr milliseconds kThere{400};
static_assert(kThere + 3 * kBeatEvery < kBeatAfter);
// What has been heard is passed on at most once in so long: news must not keep all ranks awake.
constexpr milliseconds kShareEvery{20};
// A rank of whose host nothing has been heard for so long may have called an operation, for all that is
// known.
constexpr milliseconds kSilence{5000};
// How long a peer whose data connection ended may take to say why on its control connection.
constexpr milliseconds kExplain{200};
// Inside a host the words are there before it leaves, and are seen at the next step.
constexpr milliseconds kExplainInHost{1};
// After so long without any movement nothing of a dead rank is on its way between hosts any more: lost
// packets are sent again sooner.
constexpr milliseconds kInFlightStill{1000};
// How often a rank looks who would tell it of another's end, while a receive waits.
constexpr milliseconds kCutOffLook{1000};
// How often a rank looks whose doorbell may not be rung; see Segment::hard_of_hearing().
constexpr milliseconds kListenAgain{1};

// ---- when it is left (engine/leave.cc) ----

// How long a leaving rank waits for its goodbyes to arrive.
constexpr milliseconds kGoodbye{200};
// How long it stays for messages that its peers' kernels have not taken yet.
constexpr milliseconds kDelivery{5000};
constexpr milliseconds kLeaveLook{1};
// How long after a machine began to be silent a group that is left does not wait for it anew.
constexpr milliseconds kSilent = kDelivery + milliseconds(1000);

}  // namespace ring
