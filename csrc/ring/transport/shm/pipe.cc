// See pipe.h.
#include "ring/transport/shm/pipe.h"

#include <algorithm>

#include "ring/kernels/copy.h"

namespace ring {
namespace {

// What one side hands over at once: it copies the next portion while the other side copies this one.
constexpr size_t kPortion = 32 << 10;

// Calls copy(position in the channel, pointer into the pieces, bytes) for up to `room` bytes of the pieces,
// never across the end of the channel, and hand_over(bytes so far) after each portion and at the end. Returns
// the bytes copied.
template <typename Copy, typename HandOver>
size_t spread(uint64_t position, size_t room, const iovec* pieces, int count, Copy copy, HandOver hand_over) {
    size_t moved = 0;
    size_t handed = 0;
    for (int i = 0; i < count; ++i) {
        for (size_t done = 0; done < pieces[i].iov_len && moved < room;) {
            const size_t at = (position + moved) % kChannelBytes;
            const size_t step = std::min(
                {pieces[i].iov_len - done, room - moved, kChannelBytes - at, handed + kPortion - moved});
            copy(at, static_cast<std::byte*>(pieces[i].iov_base) + done, step);
            done += step;
            moved += step;
            if (moved == handed + kPortion) hand_over(handed = moved);
        }
    }
    if (moved > handed) hand_over(moved);
    return moved;
}

}  // namespace

size_t ShmPipe::write(const iovec* pieces, int count) {
    const uint64_t written = out_.written.load(std::memory_order_relaxed);  // only this rank writes it
    size_t offered = 0;
    for (int i = 0; i < count; ++i) offered += pieces[i].iov_len;
    // The reader's counter is in its core's cache: it is looked at only where what was seen of it last leaves
    // too little room.
    if (kChannelBytes - (written - read_) < offered)
        read_ = out_.read.load(std::memory_order_acquire);  // the reader is done with those bytes
    const size_t moved = spread(
        written, kChannelBytes - (written - read_), pieces, count,
        [&](size_t at, std::byte* piece, size_t n) { copy_and_time(out_.data + at, piece, n); },
        [&](size_t so_far) {
            // Release: the bytes come before the count.
            out_.written.store(written + so_far, std::memory_order_release);
            segment_.wake(peer_);
        });
    if (moved == 0 && segment_.departed(peer_)) throw PeerGone("left the group");
    return moved;
}

size_t ShmPipe::read(const iovec* pieces, int count) {
    // Asked before the channel is looked at: what the peer wrote before it left is still delivered.
    const bool departed = segment_.departed(peer_);
    const uint64_t read = in_.read.load(std::memory_order_relaxed);        // only this rank writes it
    const uint64_t written = in_.written.load(std::memory_order_acquire);  // pairs with write()
    const size_t moved = spread(
        read, written - read, pieces, count,
        [&](size_t at, std::byte* piece, size_t n) { copy_and_time(piece, in_.data + at, n); },
        [&](size_t so_far) {
            // Release: the copies come before the room is given back.
            in_.read.store(read + so_far, std::memory_order_release);
            segment_.wake(peer_);
        });
    if (moved == 0 && departed) throw PeerGone("left the group");
    return moved;
}

bool ShmPipe::ready(bool write) const {
    // Relaxed: only asks whether to look again.
    const auto used = [](const Channel& channel) {
        return channel.written.load(std::memory_order_relaxed) - channel.read.load(std::memory_order_relaxed);
    };
    return used(in_) > 0 || (write && used(out_) < kChannelBytes) || segment_.departed(peer_);
}

}  // namespace ring
