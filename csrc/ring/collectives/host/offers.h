// What the ranks of a cell offer each other to read straight out of their memory, with one copy where staging
// memory takes two. Used by the stages inside a host, by gather and by scatter; docs/decisions/0015 says
// where it is faster.
//
// A rank writes into its staging memory where what it offers lies, and reads what it wants when all have done
// so. Whether that is allowed, and what it costs, a rank only knows of itself; so each says so with its
// offer. If one may not, or is refused when it tries, all of them go another way, in this lane for good; and
// for a while, where that costs less now. What it costs changes with the cores that the ranks are on.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "ring/base/config.h"
#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"
#include "ring/transport/shm/peer_memory.h"

namespace ring {

// What is less, in all, is faster by staging memory; and so is what is more where a rank only offers, or only
// reads, whose core would have to do what two do there at the same time.
constexpr size_t kOfferFrom = 16 << 10;
constexpr size_t kOfferExtent = 4 << 10;  // on average: each is read by a system call of its own
constexpr size_t kOfferExtents = 1 << 10;
constexpr size_t kOfferOneWay = 256 << 10;

// Of one rank in one group. Used by the thread that drives it.
class Offers {
  public:
    // `segment`: null where the rank is alone in its cell. It must outlive this. `crowded`: the ranks of the
    // host outnumber its cores.
    Offers(const Segment* segment, SingleCopy mode, bool crowded);

    // Once for each operation that could go this way in that lane, in order: whether the ranks offer
    // something. The same on all of them.
    bool ask(Lane lane);
    // What the ranks found then; the same on all of them.
    void tell(Lane lane, KernelCopy found);
    void end(Lane lane) { turns_[static_cast<size_t>(lane)].ended = true; }
    // Whether this rank may read the others' memory. Found out at the first call.
    bool allowed();
    // Of this rank.
    LineCosts costs() const;
    // See PeerMemory::read().
    bool read(int local, std::byte* to, const std::byte* from, size_t bytes);

  private:
    struct Turn {
        bool ended = false;
        int staged = 0;     // so many of the next go another way
        unsigned read = 0;  // so many went this way while that is worth while for now
    };

    const SingleCopy mode_;
    const bool crowded_;
    std::array<Turn, kLanes> turns_{};
    std::vector<PeerMemory> memories_;  // by local rank
    bool known_ = false;
    bool allowed_ = false;
};

// What a rank wants of another one's offer: the list from number `first` on, into `to`, as many bytes as
// there are in that. What nobody wants of it has no memory there.
struct Want {
    int owner;  // local rank
    size_t first;
    Extents to;
};

// All that the ranks of a cell offer each other in one operation: the same on all of them.
struct Offered {
    size_t bytes = 0;
    size_t extents = 0;
    bool both_ways = false;  // all offer, and all read
};
// Whether it goes this way in that lane; asked once.
bool goes_by_offers(const Context& context, Lane lane, const Offered& offered);

// In its turn in `lane`: offers `offered`, and reads `wants`. `read` tells whether all ranks of the cell have
// what they wanted; if not, they all have to get it in another way.
Task read_offers(Context& context, Lane lane, Extents offered, std::vector<Want> wants, bool& read);

}  // namespace ring
