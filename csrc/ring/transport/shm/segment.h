// The memory that the ranks of one host share for one group: flags, staging buffers, channels, a notice
// board.
//
// The local leader makes it (an unnamed memfd: nothing in /dev/shm, nothing to leak), the others get it
// through their doorbells. Pages cost memory only once they are touched. The in-host algorithms
// (collectives/host_*.cc) work on it directly; ShmPipe makes a byte stream out of one channel.
//
// The protocol of the flags: each rank has one counter, its *phase*, which only grows. All local ranks run
// the same sequence of operations, each of which uses the same number of phases on every rank, so that "rank
// r has published phase p" says exactly which data of r are in place and which of ours it has read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/failure.h"
#include "ring/base/mapping.h"
#include "ring/transport/frame.h"
#include "ring/transport/shm/doorbell.h"
#include "ring/transport/waitable.h"

namespace ring {

constexpr size_t kSmallBytes = 64 << 10;   // capacity of a one-shot buffer
constexpr size_t kStageBytes = 256 << 10;  // one chunk of a large collective inside the host
constexpr int kInSlots = 3;   // chunks that a rank may have staged; why three: see host_reduce.cc
constexpr int kOutSlots = 3;  // chunks of results; why three: see host_share.cc
constexpr size_t kChannelBytes = 256 << 10;  // capacity of one direction between two ranks

// One direction between two local ranks: a ring buffer with one writer and one reader.
struct Channel {
    alignas(64) std::atomic<uint64_t> written;  // bytes, ever
    alignas(64) std::atomic<uint64_t> read;
    alignas(64) std::byte data[kChannelBytes];
};

class Segment {
  public:
    // What a rank publishes about the operation it is in.
    struct Announcement {
        uint64_t operation;
        Signature signature;
    };

    // `names[l]` is the doorbell of local rank l, `token` names the group. `world` ranks in the whole group.
    // Throws TimeoutError when the leader, or its memory, does not come.
    Segment(int local_rank, std::vector<int> ranks, int world, const Doorbell& doorbell,
            std::vector<std::string> names, const std::string& token, Deadline deadline);

    int local_rank() const { return local_rank_; }
    int local_size() const { return static_cast<int>(ranks_.size()); }
    int rank_of(int local) const { return ranks_[local]; }

    // ---- phases ----
    void publish(uint64_t phase);  // releases everything written before; wakes who sleeps
    // Acquires: what `local` wrote before it published that phase can be read.
    bool reached(int local, uint64_t phase) const;
    // `operation` selects one of two slots, so that the announcement of the one before stays readable.
    void announce(uint64_t operation, const Signature& signature);
    Announcement announced(int local, uint64_t operation) const;

    // ---- buffers of one local rank ----
    std::byte* small(int local, uint64_t operation) const;   // kSmallBytes; double-buffered by operation
    std::byte* result(int local, uint64_t operation) const;  // kSmallBytes; double-buffered by operation
    std::byte* in_slot(int local, uint64_t chunk) const;     // kStageBytes
    std::byte* out_slot(int local, uint64_t chunk) const;    // kStageBytes
    Channel& channel(int from, int to) const;

    // ---- sleeping ----
    // Between begin and end, whoever changes shared memory rings this rank's doorbell. After begin, look once
    // more at what is waited for before sleeping.
    void sleep_begin();
    void sleep_end();
    void wake(int local);  // if it sleeps
    void wake_all();

    // ---- notice board ----
    // The first failure stays; every rank of the host sees it.
    void post_failure(const Failure& failure);
    std::optional<Failure> failure() const;
    // What is known of a rank (of the whole group); see fault/progress_table.h.
    struct Progress {
        std::atomic<uint64_t> operation;
        std::atomic<uint64_t> beats;
        std::atomic<int32_t> waits_for;
    };
    Progress& progress(int rank) const;
    // This rank left the group in good order.
    void depart();
    bool departed(int local) const;
    bool anyone_departed() const;

  private:
    struct Board;
    struct RankBlock;

    Board& board() const;
    RankBlock& block(int local) const;
    std::byte* buffers(int local) const;

    int local_rank_;
    std::vector<int> ranks_;
    int world_;
    const Doorbell& doorbell_;
    std::vector<std::string> names_;
    size_t blocks_at_ = 0;
    size_t progress_at_ = 0;
    size_t buffers_at_ = 0;
    size_t channels_at_ = 0;
    Mapping mapping_;
};

// Waits until local ranks have published a phase: all of them, or one.
class PhaseReached : public Waitable {
  public:
    PhaseReached(const Segment& segment, uint64_t phase, int only = -1);
    bool ready() override;
    std::vector<int> awaited() const override;

  private:
    const Segment& segment_;
    uint64_t phase_;
    int next_;  // the lowest local rank not yet seen there
    int end_;
};

}  // namespace ring
