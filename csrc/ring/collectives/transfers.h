// What gather, scatter and all_to_all share: the messages that each of them sends straight from rank to rank.
//
// Nobody is flooded: large messages go when they are received, and a rank receives from one rank of other
// hosts at a time, and from the next one while the last frame is on its way. Streams that compete for a link
// lose packets, and with them a tenth of its rate.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <span>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

using Transfers = std::deque<TransferPtr>;

// Waits until at most `keep` of the oldest are under way.
Task drain(Transfers& transfers, size_t keep);
// Waits until another message from or to another host may begin beside those that are under way.
Task make_room(Transfers& transfers);

// Of what gather and scatter send unasked. Where a sender runs further ahead of its receivers, one call takes
// next to nothing and another one waits for several; and of several senders the others lose their part of the
// link meanwhile.
constexpr size_t kCreditAhead = 3 * (kEagerBetweenHosts / 2 + sizeof(MessageHeader));

// A share that lies in this rank's memory, or in the segment; they may be the same.
void copy_share(void* to, const void* from, size_t bytes);

// gather and scatter pass shares through one rank of each host, its *carrier*: a host costs the root one
// connection, whatever its ranks, and the other ranks wait for nothing but their host. That costs one more
// copy; so large shares go that way, chunk by chunk, over slow links only (Tuning::carry_large()), and else
// straight to and from each rank, one after the other: they fill the link as well. The figures are in
// docs/measurements/messages.md.
constexpr size_t kCarriedChunk = 128 << 10;
constexpr size_t kCarriedSlots = kStagingBytes / kCarriedChunk;
// So many chunks of a rank are on their way between hosts, while its other slots are filled, or emptied.
constexpr size_t kCarriedAhead = kCarriedSlots / 2;

// Of a share that goes through a carrier. An empty one is received, too.
inline size_t carried_chunks(size_t bytes) {
    return std::max<size_t>(1, (bytes + kCarriedChunk - 1) / kCarriedChunk);
}

template <typename Byte>
std::span<Byte> carried_chunk(Byte* share, size_t bytes, size_t k) {
    return {share + k * kCarriedChunk, chunk_length(bytes, kCarriedChunk, k)};
}

inline int carrier_of(const Layout& layout, int cell, int root) {
    return layout.cell_of(root) == cell ? root : layout.cell(cell).front();
}

}  // namespace ring
