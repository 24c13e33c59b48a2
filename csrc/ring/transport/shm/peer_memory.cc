// See peer_memory.h.
#include "ring/transport/shm/peer_memory.h"

#include <sys/uio.h>

#include <atomic>

#include "ring/transport/pipe.h"
#include "ring/transport/shm/segment.h"

namespace ring {
namespace {

bool read_all(pid_t pid, void* to, uint64_t from, size_t bytes) {
    const iovec here{to, bytes};
    const iovec there{reinterpret_cast<void*>(from), bytes};
    return ::process_vm_readv(pid, &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes);
}

}  // namespace

bool PeerMemory::find() {
    const MemoryTicket ticket = segment_.ticket(peer_);
    auto found = ticket.proof;
    found.fill(0);
    if (!read_all(ticket.pid, found.data(), ticket.address, found.size()) || found != ticket.proof)
        return false;
    pid_ = ticket.pid;
    return true;
}

bool PeerMemory::read(std::byte* to, uint64_t from, size_t bytes) {
    if (!refused_ && pid_ == 0) refused_ = !find();
    if (!refused_) refused_ = !read_all(pid_, to, from, bytes);
    // Looked at after the copy: a rank withdraws its memory before it gives it back to the user.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (segment_.withdrawn(peer_)) throw PeerGone("ended the group");
    return !refused_;
}

}  // namespace ring
