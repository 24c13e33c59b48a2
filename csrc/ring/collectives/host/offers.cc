// See offers.h.
#include "ring/collectives/host/offers.h"

#include <algorithm>
#include <cstring>

namespace ring {
namespace {

constexpr size_t kOfferBytes = 32 << 10;  // a slot
// What is read between two looks at what else there is to do.
constexpr size_t kReadAtOnce = 4 << 20;

// Lies in a slot of staging memory, the list behind it.
struct OfferHeader {
    uint64_t extents;
    uint64_t wanted;
};
static_assert(sizeof(OfferHeader) + kOfferExtents * sizeof(Extent) <= kOfferBytes);

std::byte* slot_of(const Context& context, int local, int flags, uint64_t phase) {
    return context.segment->out_slot(local, flags, phase, kOfferBytes);
}

void write_offer(std::byte* slot, const Extents& offered, bool wanted) {
    const OfferHeader header{offered.size(), wanted ? 1U : 0U};
    std::memcpy(slot, &header, sizeof(header));
    if (!offered.empty()) std::memcpy(slot + sizeof(header), offered.data(), offered.size() * sizeof(Extent));
}

bool is_wanted(const std::byte* slot) {
    OfferHeader header;
    std::memcpy(&header, slot, sizeof(header));
    return header.wanted != 0;
}

// The addresses are the owner's.
Extents read_offer(const std::byte* slot, size_t first) {
    OfferHeader header;
    std::memcpy(&header, slot, sizeof(header));
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

// By staging memory a rank copies what it offers besides what it reads. Where cores are short its waiting
// costs little, and one hand-over more costs much.
bool Offers::is_faster() const {
    const auto ranks = static_cast<double>(memories_.size());
    return !crowded_ && PeerMemory::cost() * (ranks - 1) < ranks;
}

bool Offers::wanted() {
    if (std::exchange(known_, true)) return wanted_;
    wanted_ = mode_ == SingleCopy::kAll || (mode_ == SingleCopy::kAuto && is_faster());
    if (wanted_) wanted_ = std::ranges::all_of(memories_, [](PeerMemory& memory) { return memory.found(); });
    return wanted_;
}

bool Offers::read(int local, std::byte* to, const std::byte* from, size_t bytes) {
    return memories_[static_cast<size_t>(local)].read(to, reinterpret_cast<uint64_t>(from), bytes);
}

bool goes_by_offers(const Context& context, Lane lane, const Offered& offered) {
    return context.segment != nullptr && context.group.offers->are_made(lane) &&
           offered.bytes >= std::max(kOfferFrom, offered.extents * kOfferExtent) &&
           offered.extents <= kOfferExtents && (offered.both_ways || offered.bytes <= kOfferOneWay);
}

Task read_offers(Context& context, Lane lane, Extents offered, std::vector<Want> wants, bool& read) {
    Segment& segment = *context.segment;
    Offers& offers = *context.group.offers;
    const int flags = host_lane(lane);
    const uint64_t base = context.group.phase[flags];
    const uint64_t end = base + 2;
    context.group.phase[flags] = end;

    co_await until(PhaseReached(segment, flags, base));  // the slots are free
    write_offer(slot_of(context, segment.local_rank(), flags, base), offered, offers.wanted());
    segment.publish(flags, base + 1);
    co_await until(PhaseReached(segment, flags, base + 1));
    read = true;
    for (int l = 0; l < segment.local_size(); ++l) read = read && is_wanted(slot_of(context, l, flags, base));
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
    if (!read) offers.end(lane);
}

}  // namespace ring
