// See offers.h.
#include "ring/collectives/host/offers.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace ring {
namespace {

constexpr size_t kOfferBytes = 32 << 10;  // a slot
// Where the kernel's copy is only worth while at times: so often they find out whether it is.
constexpr int kAskEvery = 16;
// What is read between two looks at what else there is to do.
constexpr size_t kReadAtOnce = 4 << 20;

// Lies in a slot of staging memory, the list behind it.
struct OfferHeader {
    uint64_t extents;
    uint64_t allowed;
    LineCosts costs;
};
static_assert(sizeof(OfferHeader) + kOfferExtents * sizeof(Extent) <= kOfferBytes);

std::byte* slot_of(const Context& context, int local, int flags, uint64_t phase) {
    return context.segment->out_slot(local, flags, phase, kOfferBytes);
}

void write_offer(std::byte* slot, const Extents& offered, Offers& offers) {
    const bool allowed = offers.allowed();
    const OfferHeader header{offered.size(), allowed ? 1U : 0U, allowed ? offers.costs() : LineCosts{}};
    std::memcpy(slot, &header, sizeof(header));
    if (!offered.empty()) std::memcpy(slot + sizeof(header), offered.data(), offered.size() * sizeof(Extent));
}

OfferHeader header_of(const std::byte* slot) {
    OfferHeader header;
    std::memcpy(&header, slot, sizeof(header));
    return header;
}

// Of the offers of all ranks, so that they decide alike: a rank that has written nothing of late does not
// know how far the cores are. Nothing where one of them may not read.
std::optional<KernelCopy> worth(const Context& context, int flags, uint64_t phase) {
    LineCosts most{};
    const int ranks = context.segment->local_size();
    for (int l = 0; l < ranks; ++l) {
        const OfferHeader header = header_of(slot_of(context, l, flags, phase));
        if (header.allowed == 0) return std::nullopt;
        most.kernel = std::max(most.kernel, header.costs.kernel);
        most.processor = std::max(most.processor, header.costs.processor);
        most.shared = std::max(most.shared, header.costs.shared);
    }
    // By staging memory a rank copies what it offers besides what it reads.
    return compare(most, ranks - 1, ranks);
}

// The addresses are the owner's.
Extents read_offer(const std::byte* slot, size_t first) {
    const OfferHeader header = header_of(slot);
    first = std::min<size_t>(first, header.extents);
    Extents extents(header.extents - first);
    if (!extents.empty())
        std::memcpy(extents.data(), slot + sizeof(header) + first * sizeof(Extent),
                    extents.size() * sizeof(Extent));
    return extents;
}

// Ready when it is asked again: whoever drives has looked at everything else by then.
class NextPass : public Waitable {
  public:
    bool ready() override { return std::exchange(asked_, true); }
    std::vector<int> awaited() const override { return {}; }

  private:
    bool asked_ = false;
};

// Never ready: of a rank that has ended the group, which this one is told in another way.
class Ended : public Waitable {
  public:
    explicit Ended(int rank) : rank_(rank) {}
    bool ready() override { return false; }
    std::vector<int> awaited() const override { return {rank_}; }

  private:
    int rank_;
};

struct Read {
    std::byte* to;
    const std::byte* from;
    size_t bytes;
};

std::vector<Read> reads_of(const Extents& to, const Extents& offered) {
    std::vector<Read> reads;
    size_t at = 0;
    for (const Extent& part : to) {
        if (part.data != nullptr)
            for_each_part(offered, at, part.bytes, [&](std::byte* from, size_t bytes, size_t offset) {
                for (size_t done = 0; done < bytes; done += kReadAtOnce)
                    reads.push_back(
                        {part.data + offset + done, from + done, std::min(kReadAtOnce, bytes - done)});
            });
        at += part.bytes;
    }
    return reads;
}

}  // namespace

Offers::Offers(const Segment* segment, SingleCopy mode, bool crowded) : mode_(mode), crowded_(crowded) {
    if (segment == nullptr) return;
    for (int l = 0; l < segment->local_size(); ++l) memories_.emplace_back(*segment, l);
}

bool Offers::ask(Lane lane) {
    Turn& turn = turns_[static_cast<size_t>(lane)];
    if (turn.ended) return false;
    if (turn.staged == 0) return true;
    --turn.staged;
    return false;
}

void Offers::tell(Lane lane, KernelCopy found) {
    Turn& turn = turns_[static_cast<size_t>(lane)];
    if (found == KernelCopy::kDear) {
        turn.staged = kAskEvery - 1;
    } else if (found == KernelCopy::kCheapNow && ++turn.read % kAskEvery == 0) {
        turn.staged = 1;  // which tells what that costs now
    }
}

bool Offers::allowed() {
    if (std::exchange(known_, true)) return allowed_;
    // Where cores are short a rank's waiting costs little, and one hand-over more costs much.
    allowed_ = mode_ == SingleCopy::kAll || (mode_ == SingleCopy::kAuto && !crowded_);
    if (allowed_)
        allowed_ = std::ranges::all_of(memories_, [](PeerMemory& memory) { return memory.found(); });
    return allowed_;
}

LineCosts Offers::costs() const {
    if (mode_ == SingleCopy::kAll) return {.kernel = 0, .processor = 1, .shared = 1};
    return line_costs();
}

bool Offers::read(int local, std::byte* to, const std::byte* from, size_t bytes) {
    return memories_[static_cast<size_t>(local)].read(to, reinterpret_cast<uint64_t>(from), bytes);
}

bool goes_by_offers(const Context& context, Lane lane, const Offered& offered) {
    return context.segment != nullptr &&
           offered.bytes >= std::max(kOfferFrom, offered.extents * kOfferExtent) &&
           offered.extents <= kOfferExtents && (offered.both_ways || offered.bytes <= kOfferOneWay) &&
           context.group.offers->ask(lane);
}

Task read_offers(Context& context, Lane lane, Extents offered, std::vector<Want> wants, bool& read) {
    Segment& segment = *context.segment;
    Offers& offers = *context.group.offers;
    const int flags = host_lane(lane);
    const uint64_t base = context.group.phase[flags];
    const uint64_t end = base + 2;
    context.group.phase[flags] = end;

    co_await until(PhaseReached(segment, flags, base));  // the slots are free
    write_offer(slot_of(context, segment.local_rank(), flags, base), offered, offers);
    segment.publish(flags, base + 1);
    co_await until(PhaseReached(segment, flags, base + 1));
    const std::optional<KernelCopy> found = worth(context, flags, base);
    read = found.has_value() && *found != KernelCopy::kDear;
    size_t at_once = 0;
    for (const Want& want : wants) {
        if (!read) break;
        const Extents from = read_offer(slot_of(context, want.owner, flags, base), want.first);
        for (const Read& one : reads_of(want.to, from)) {
            at_once += one.bytes;
            if (at_once > kReadAtOnce) {
                at_once = one.bytes;
                co_await until(NextPass());
            }
            bool ended = false;
            try {
                read = read && offers.read(want.owner, one.to, one.from, one.bytes);
            } catch (const PeerGone&) {
                ended = true;
            }
            if (ended) co_await until(Ended(segment.rank_of(want.owner)));
        }
        if (!read) segment.refuse(flags, end);
    }
    segment.publish(flags, end);
    // What a rank offers may be read until then.
    co_await until(PhaseReached(segment, flags, end));
    read = read && !segment.anyone_refused(flags, end);
    if (found && (read || *found == KernelCopy::kDear)) {
        offers.tell(lane, *found);
    } else {
        offers.end(lane);
    }
}

}  // namespace ring
