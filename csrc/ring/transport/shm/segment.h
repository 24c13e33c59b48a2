// The memory that the ranks of one host share for one group: flags, staging buffers, channels, a notice
// board.
//
// The local leader makes it (without a name: nothing in /dev/shm, nothing to leak), the others get it
// through their doorbells. Pages cost memory only once they are touched. The algorithms in
// collectives/ work on it directly; ShmPipe makes a byte stream out of one channel.
//
// The protocol of the flags. On entering an operation each rank publishes an *entry*: what it called, and a
// small payload with it. After that the ranks work in two *lanes*, one for each stage of a collective inside
// the host, which different operations may be in at the same time. In each lane a rank has one counter, its
// *phase*, which only grows. All local ranks run the same sequence of stages through a lane, each of which
// uses the same number of phases on every rank, so that "rank r has published phase p" says exactly which
// data of r are in place and which of ours it has read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/failure.h"
#include "ring/base/mapping.h"
#include "ring/base/signature.h"
#include "ring/transport/shm/doorbell.h"
#include "ring/transport/shm/peer_memory.h"
#include "ring/transport/waitable.h"

namespace ring {

constexpr size_t kSmallBytes = 64 << 10;  // the largest payload of an entry
// The staging buffers of a rank are rings that each stage cuts into slots of its own size. The algorithms
// need two to four slots; the rings are larger because a slot that was used so long ago that it has left the
// other cores' caches is written several times as fast (docs/decisions/0005).
constexpr size_t kStagingBytes = 1 << 20;
constexpr int kHostLanes = 2;
constexpr int kTurns =
    kHostLanes;  // a third counter beside those of the lanes: turns at the links between hosts
constexpr size_t kChannelBytes = 1 << 20;  // capacity of one direction between two ranks: as above

// Who uses a channel: the links of a flat ring, or the mailboxes.
enum class ChannelUse { kLink = 0, kMessages };
constexpr size_t kChannelUses = 2;

// One direction between two local ranks: a ring buffer with one writer and one reader.
struct Channel {
    alignas(64) std::atomic<uint64_t> written;  // bytes, ever
    alignas(64) std::atomic<uint64_t> read;
    alignas(64) std::byte data[kChannelBytes];
};

class Segment {
  public:
    // What a rank called.
    struct Announcement {
        uint64_t operation;
        Signature signature;
    };

    // `names[l]` is the doorbell of local rank l, `token` names the group. `world` ranks in the whole group.
    // `barriers`: every rank of the host has membarrier_supported().
    // Throws TimeoutError when the leader, or its memory, does not come.
    Segment(int local_rank, std::vector<int> ranks, int world, const Doorbell& doorbell,
            std::vector<std::string> names, const std::string& token, bool barriers, Deadline deadline);

    int local_rank() const { return local_rank_; }
    int local_size() const { return static_cast<int>(ranks_.size()); }
    int rank_of(int local) const { return ranks_[local]; }

    // ---- forming ----
    // This rank has all that it needs for the group. The last one rings those that wait for it.
    void arrive();
    bool all_arrived() const;
    int first_absent() const;  // a local rank, where not all have arrived

    // ---- entries ----
    // Publishes this rank's entry into an operation, with `bytes` (at most kSmallBytes) of payload; wakes who
    // sleeps. Entries are double-buffered: that of operation k may be read until this rank enters k + 2,
    // which it must not do before all have entered k + 1.
    void enter(const Announcement& announcement, const void* payload = nullptr, size_t bytes = 0);
    bool entered(int local, uint64_t operation) const;  // acquires the announcement and the payload
    Announcement announced(int local, uint64_t operation) const;
    const std::byte* payload(int local, uint64_t operation, size_t bytes) const;

    // ---- phases ----
    void publish(int lane, uint64_t phase);  // releases everything written before; wakes who sleeps
    // Acquires: what `local` wrote before it published that phase can be read.
    bool reached(int local, int lane, uint64_t phase) const;

    // ---- buffers of one local rank ----
    std::byte* result(int local, uint64_t operation) const;  // kSmallBytes; double-buffered by operation
    // What is staged for a phase lies in the slot of that number; the last kStagingBytes / slot_bytes are
    // there.
    std::byte* in_slot(int local, uint64_t phase, size_t slot_bytes) const;
    std::byte* out_slot(int local, int lane, uint64_t phase, size_t slot_bytes) const;
    Channel& channel(ChannelUse use, int from, int to) const;

    // ---- private memory ----
    MemoryTicket ticket(int local) const;  // once that rank has sent anything
    // This rank may give back to the user, from now on, what others were to read.
    void withdraw();
    bool withdrawn(int local) const;

    // Told before a phase is published: the kernel did not let this rank read what it should have.
    void refuse(int lane, uint64_t phase);
    bool anyone_refused(int lane, uint64_t phase) const;  // of all that have published that phase

    // ---- sleeping ----
    // Between begin and end, whoever changes shared memory rings this rank's doorbell. After begin, look once
    // more at what is waited for before sleeping.
    void sleep_begin();
    // Whoever sleeps must look now and then all the same: others leave out their fences, since this rank
    // could make up for them when they agreed on it, and its barriers are refused now.
    bool hard_of_hearing() const { return hard_of_hearing_; }
    void sleep_end();
    // Whether another rank of this host went to sleep on that core (of sched_getcpu()) when it last did.
    bool sleeps_on(int core) const;
    void wake(int local);  // if it sleeps
    void wake_all();

    // ---- notice board ----
    // Every rank of the host sees it, unless it ends nothing that an earlier one has not ended.
    void post_failure(const Failure& failure);
    // The operations from which on one of them has ended all; UINT64_MAX for none.
    uint64_t fails_from() const;
    // In the order in which they were posted.
    std::vector<Failure> failures() const;
    // What is known of a rank (of the whole group); see fault/progress_table.h.
    struct Progress {
        std::atomic<uint64_t> operation;
        std::atomic<uint64_t> beats;
        std::atomic<int32_t> waits_for;
        std::atomic<uint32_t> ended;  // see CallProgress::departed
        // What the rank waits in, and called there. Only it writes them; odd: it is about to.
        std::atomic<uint64_t> version;
        std::atomic<uint64_t> waits_in;
        std::array<std::atomic<uint64_t>, 2> called;
    };
    Progress& progress(int rank) const;
    // Tells the ranks of this host how a rank of the group has ended.
    void tell_end(int rank, uint32_t how);
    uint32_t ends_told() const;  // how many there are so far, some perhaps more than once
    // This rank left the group in good order.
    void depart();
    bool departed(int local) const;
    bool anyone_departed() const;
    // Once this rank has departed: gives the memory back to the system, if it was the last but the `dead`.
    // Who looks at the segment nevertheless finds zeros.
    void give_back(const std::vector<bool>& dead);

  private:
    struct Board;
    struct RankBlock;

    Board& board() const;
    RankBlock& block(int local) const;
    void order_before_wake() const;
    std::byte* buffers(int local) const;

    int local_rank_;
    std::vector<int> ranks_;
    int world_;
    const Doorbell& doorbell_;
    std::vector<std::string> names_;
    bool barriers_;
    bool hard_of_hearing_ = false;
    mutable bool covered_ = false;  // the barriers of others reach this process; of the thread that drives
    MemoryTicket ticket_;           // of this rank; its proof is what others read here
    size_t blocks_at_ = 0;
    size_t progress_at_ = 0;
    size_t buffers_at_ = 0;
    size_t channels_at_ = 0;
    Mapping mapping_;
};

// Waits until all local ranks have come to a point that `passed` tells. Without a segment a rank is alone,
// and waits for nobody.
class AllLocal : public Waitable {
  public:
    explicit AllLocal(const Segment* segment) : segment_(segment) {}
    bool ready() override;
    std::vector<int> awaited() const override;

  protected:
    virtual bool passed(int local) const = 0;
    const Segment* segment_;

  private:
    int next_ = 0;  // the lowest local rank not yet seen there
};

class AllEntered : public AllLocal {
  public:
    AllEntered(const Segment* segment, uint64_t operation) : AllLocal(segment), operation_(operation) {}

  private:
    bool passed(int local) const override { return segment_->entered(local, operation_); }
    uint64_t operation_;
};

class PhaseReached : public AllLocal {
  public:
    PhaseReached(const Segment& segment, int lane, uint64_t phase)
        : AllLocal(&segment), lane_(lane), phase_(phase) {}

  private:
    bool passed(int local) const override { return segment_->reached(local, lane_, phase_); }
    int lane_;
    uint64_t phase_;
};

// Waits for one local rank's phase.
class PhaseReachedBy : public Waitable {
  public:
    PhaseReachedBy(const Segment& segment, int local, int lane, uint64_t phase)
        : segment_(segment), local_(local), lane_(lane), phase_(phase) {}
    bool ready() override { return segment_.reached(local_, lane_, phase_); }
    std::vector<int> awaited() const override { return {segment_.rank_of(local_)}; }

  private:
    const Segment& segment_;
    int local_;
    int lane_;
    uint64_t phase_;
};

}  // namespace ring
