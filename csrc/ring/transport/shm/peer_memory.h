// The private memory of another rank of this host, read with one copy where a channel takes two
// (process_vm_readv(2), "cross memory attach"; TensorPipe and the MPI libraries use it likewise).
//
// Used by transport/message; docs/decisions/0008 says where it is faster. Docker's older profiles, Yama's
// ptrace_scope and other sandboxes refuse it, so whoever reads needs another way besides.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace ring {

class Segment;

// What a rank tells of itself in the segment. The proof lies in its private memory: who reads the same bytes
// there has found the right process, also where ranks live in PID namespaces of their own.
struct MemoryTicket {
    pid_t pid = 0;
    uint64_t address = 0;  // of its copy of the proof
    std::array<uint8_t, 16> proof{};
};

// What copying a cache line takes here, in ns.
struct LineCosts {
    double kernel;     // one that the kernel reads for this process; infinite where it refuses
    double processor;  // one in the cache of this core
    double shared;     // a store into one that another core has read; see shared_line_ns()
};
// Measured once per process, at the first call, in some 0.2 ms, but for the last, which changes. Thread-safe.
LineCosts line_costs();

// Whether to let the kernel copy.
enum class KernelCopy {
    kDear,
    kCheapNow,  // while the cores are as far from each other as they seem to be
    kCheap,
};
// So many copies by the kernel, instead of so many by the processor of which another core has read the lines.
KernelCopy compare(const LineCosts& costs, double by_kernel, double by_processor);

// Not thread-safe: used by the one thread that drives the group.
class PeerMemory {
  public:
    // `peer` is a local rank. The segment must outlive it.
    PeerMemory(const Segment& segment, int peer) : segment_(segment), peer_(peer) {}

    // Instead of two copies, into shared memory and out of it.
    static KernelCopy of_one_for_two() { return compare(line_costs(), 1, 2); }

    // Whether the kernel lets this process read there at all.
    bool found();

    // Copies `bytes` bytes from `from`, an address that the peer sent and has not taken back, to `to`.
    // False where the kernel refuses: then `to` holds anything, and it will go on refusing.
    // Throws PeerGone where the peer has ended the group meanwhile, and may have overwritten them.
    bool read(std::byte* to, uint64_t from, size_t bytes);

  private:
    bool find();

    const Segment& segment_;
    int peer_;
    pid_t pid_ = 0;  // 0: not looked for yet
    bool refused_ = false;
};

}  // namespace ring
