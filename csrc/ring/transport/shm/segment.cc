// See segment.h.
#include "ring/transport/shm/segment.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "ring/base/error.h"
#include "ring/base/membarrier.h"
#include "ring/base/random.h"
#include "ring/kernels/copy.h"
#include "ring/transport/shm/memory.h"

namespace ring {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kPage = 4096;
constexpr size_t kFailureText = 2000;
constexpr uint32_t kBeingWritten = 1;
constexpr uint32_t kSet = 2;
// Each that is posted ends more operations than those before it, of which only a few are under way at once;
// what is posted at the same time by several ranks may take one each.
constexpr size_t kFailures = 16;
// How long whoever posts one waits for another that is being written: its writer may have died.
constexpr milliseconds kWriting{1};
constexpr size_t kInAt = 4 * kSmallBytes;
constexpr size_t kOutAt = kInAt + kStagingBytes;
static_assert((kStagingBytes & (kStagingBytes - 1)) == 0, "a multiple of each slot's size");
constexpr size_t kBuffersPerRank = kOutAt + kHostLanes * kStagingBytes;
constexpr size_t kInlineBytes = 40;  // of payload that share a cache line with the entry's flag

constexpr size_t round_up(size_t value, size_t to) {
    return (value + to - 1) / to * to;
}

}  // namespace

// Lies at the start of the segment. A fresh memfd is all zeros, which is the initial state of everything in
// it.
struct Segment::Board {
    struct Notice {
        std::atomic<uint32_t> state;
        FailureKind kind;
        uint64_t operation;
        char text[kFailureText];
    };
    // The complement of the lowest operation of all notices, which grows from 0, that of none.
    alignas(kLine) std::atomic<uint64_t> reach;
    Notice notices[kFailures];
    alignas(kLine) std::atomic<uint32_t> arrivals;
    std::atomic<uint32_t> departures;
    std::atomic<uint32_t> ends;
};

struct Segment::RankBlock {
    // One cache line: for a small payload flag, announcement and data cross to another core together.
    struct Entry {
        alignas(kLine) std::atomic<uint64_t> operation;
        Signature signature;
        std::byte payload[kInlineBytes];
    };
    static_assert(sizeof(Entry) == kLine);
    struct Phase {
        alignas(kLine) std::atomic<uint64_t> value;
    };
    Entry entries[2];
    Phase phases[kTurns + 1];
    alignas(kLine) std::atomic<uint32_t> sleeping;
    std::atomic<int32_t> slept_on;  // the core, from 1
    std::atomic<uint32_t> arrived;
    std::atomic<uint32_t> departed;
    std::atomic<uint32_t> withdrawn;
    MemoryTicket ticket;
    std::array<std::atomic<uint64_t>, kHostLanes> refused;  // the phase, which is never 0
};

Segment::Segment(int local_rank, std::vector<int> ranks, int world, const Doorbell& doorbell,
                 std::vector<std::string> names, const std::string& token, bool barriers, Deadline deadline)
    : local_rank_(local_rank),
      ranks_(std::move(ranks)),
      world_(world),
      doorbell_(doorbell),
      names_(std::move(names)),
      barriers_(barriers) {
    const size_t n = ranks_.size();
    blocks_at_ = round_up(sizeof(Board), kPage);
    progress_at_ = blocks_at_ + round_up(n * sizeof(RankBlock), kPage);
    buffers_at_ = progress_at_ + round_up(world * kLine, kPage);
    channels_at_ = buffers_at_ + n * kBuffersPerRank;
    const size_t bytes = channels_at_ + kChannelUses * n * n * round_up(sizeof(Channel), kPage);

    UniqueFd memory;
    if (local_rank_ == 0) {
        try {
            memory = make_shared_memory(bytes);
        } catch (const Error& error) {
            for (size_t l = 1; l < n; ++l)
                doorbell_.send_error(
                    names_[l], token,
                    "rank " + std::to_string(ranks_[0]) + ", the first of this host: " + error.what());
            throw;
        }
        for (size_t l = 1; l < n; ++l) doorbell_.send_fd(names_[l], memory.get(), token, deadline);
    } else {
        memory = doorbell_.receive_fd(token, deadline);
        struct stat info{};
        if (::fstat(memory.get(), &info) != 0) throw_errno("fstat of the shared memory");
        if (static_cast<size_t>(info.st_size) != bytes)
            throw Error("the shared memory of this host has " + std::to_string(info.st_size) +
                        " bytes, not " + std::to_string(bytes) +
                        ": its ranks run different builds of torch_ring");
    }
    mapping_ = Mapping(memory.get(), bytes);
    // Where the machine gives huge pages to shared memory; elsewhere it does nothing. Each rank's buffers are
    // written by that rank alone, so the first touch places them on its own NUMA node.
    (void)::madvise(mapping_.data(), bytes, MADV_HUGEPAGE);

    fill_random(ticket_.proof.data(), ticket_.proof.size());
    ticket_.pid = ::getpid();
    ticket_.address = reinterpret_cast<uint64_t>(ticket_.proof.data());
    block(local_rank_).ticket = ticket_;  // whatever this rank sends later comes after it
}

Segment::Board& Segment::board() const {
    return *reinterpret_cast<Board*>(mapping_.data());
}

Segment::RankBlock& Segment::block(int local) const {
    return reinterpret_cast<RankBlock*>(mapping_.data() + blocks_at_)[local];
}

std::byte* Segment::buffers(int local) const {
    return mapping_.data() + buffers_at_ + local * kBuffersPerRank;
}

std::byte* Segment::result(int local, uint64_t operation) const {
    return buffers(local) + (2 + operation % 2) * kSmallBytes;
}

std::byte* Segment::in_slot(int local, uint64_t phase, size_t slot_bytes) const {
    return buffers(local) + kInAt + phase * slot_bytes % kStagingBytes;
}

std::byte* Segment::out_slot(int local, int lane, uint64_t phase, size_t slot_bytes) const {
    return buffers(local) + kOutAt + lane * kStagingBytes + phase * slot_bytes % kStagingBytes;
}

Channel& Segment::channel(ChannelUse use, int from, int to) const {
    const size_t index = (static_cast<size_t>(use) * ranks_.size() + from) * ranks_.size() + to;
    return *reinterpret_cast<Channel*>(mapping_.data() + channels_at_ +
                                       index * round_up(sizeof(Channel), kPage));
}

void Segment::arrive() {
    block(local_rank_).arrived.store(1, std::memory_order_relaxed);  // only for the words of who waits
    // Release and acquire: whoever sees all arrivals sees what each rank had written before its own.
    if (board().arrivals.fetch_add(1, std::memory_order_acq_rel) + 1 < ranks_.size()) return;
    for (int l = 0; l < local_size(); ++l)
        if (l != local_rank_) doorbell_.ring(names_[l]);
}

bool Segment::all_arrived() const {
    return board().arrivals.load(std::memory_order_acquire) == ranks_.size();  // pairs with arrive()
}

int Segment::first_absent() const {
    int local = 0;
    while (local + 1 < local_size() && block(local).arrived.load(std::memory_order_relaxed) != 0) ++local;
    return local;
}

void Segment::enter(const Announcement& announcement, const void* payload, size_t bytes) {
    RankBlock::Entry& entry = block(local_rank_).entries[announcement.operation % 2];
    entry.signature = announcement.signature;
    if (bytes > 0)
        std::memcpy(bytes <= kInlineBytes ? entry.payload
                                          : buffers(local_rank_) + (announcement.operation % 2) * kSmallBytes,
                    payload, bytes);
    // Release: the announcement and the payload are visible to whoever acquires the number.
    entry.operation.store(announcement.operation, std::memory_order_release);
    wake_all();
}

bool Segment::entered(int local, uint64_t operation) const {
    const RankBlock::Entry& entry = block(local).entries[operation % 2];
    return entry.operation.load(std::memory_order_acquire) == operation;  // pairs with enter()
}

Segment::Announcement Segment::announced(int local, uint64_t operation) const {
    return {operation, block(local).entries[operation % 2].signature};
}

const std::byte* Segment::payload(int local, uint64_t operation, size_t bytes) const {
    if (bytes <= kInlineBytes) return block(local).entries[operation % 2].payload;
    return buffers(local) + (operation % 2) * kSmallBytes;
}

void Segment::publish(int lane, uint64_t phase) {
    // Release: the data written before are visible to whoever acquires the phase.
    block(local_rank_).phases[lane].value.store(phase, std::memory_order_release);
    wake_all();
}

bool Segment::reached(int local, int lane, uint64_t phase) const {
    // Pairs with publish().
    return block(local).phases[lane].value.load(std::memory_order_acquire) >= phase;
}

void Segment::sleep_begin() {
    // Relaxed: only a hint.
    block(local_rank_).slept_on.store(::sched_getcpu() + 1, std::memory_order_relaxed);
    // Either this rank sees the change when it looks once more, or whoever made the change sees the flag:
    // between the store and the look lies a barrier for both sides, or a fence that pairs with theirs.
    block(local_rank_).sleeping.store(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (barriers_ && !hard_of_hearing_) hard_of_hearing_ = !membarrier();
}

void Segment::sleep_end() {
    // Relaxed: a ring that comes late only costs an event. A store would take the line from all who look at
    // it with each small operation.
    std::atomic<uint32_t>& sleeping = block(local_rank_).sleeping;
    if (sleeping.load(std::memory_order_relaxed) != 0) sleeping.store(0, std::memory_order_relaxed);
}

bool Segment::sleeps_on(int core) const {
    if (core < 0) return false;  // nobody knows
    for (int l = 0; l < local_size(); ++l)
        if (l != local_rank_ && block(l).slept_on.load(std::memory_order_relaxed) == core + 1) return true;
    return false;
}

void Segment::order_before_wake() const {
    // See sleep_begin(): with barriers the compiler alone must keep the order.
    if (!covered_) covered_ = barriers_ && membarrier_registered();
    if (covered_) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }
}

void Segment::wake(int local) {
    order_before_wake();
    std::atomic<uint32_t>& sleeping = block(local).sleeping;
    // Relaxed: ordered as above; the exchange lets one of several wakers ring.
    if (sleeping.load(std::memory_order_relaxed) != 0 && sleeping.exchange(0, std::memory_order_relaxed) != 0)
        doorbell_.ring(names_[local]);
}

void Segment::wake_all() {
    order_before_wake();
    for (int l = 0; l < local_size(); ++l) {
        std::atomic<uint32_t>& sleeping = block(l).sleeping;
        if (l != local_rank_ && sleeping.load(std::memory_order_relaxed) != 0 &&
            sleeping.exchange(0, std::memory_order_relaxed) != 0)  // relaxed: as in wake()
            doorbell_.ring(names_[l]);
    }
}

void Segment::post_failure(const Failure& failure) {
    const Deadline patience = Deadline::after(kWriting);
    for (Board::Notice& notice : board().notices) {
        uint32_t state = 0;
        // Acquire and release: whoever sees kSet sees the text. A writer that dies before leaves
        // kBeingWritten, which nobody reads; its death is then reported by the watchers of every rank.
        if (notice.state.compare_exchange_strong(state, kBeingWritten, std::memory_order_acq_rel)) {
            notice.kind = failure.kind;
            notice.operation = failure.operation;
            const size_t length = std::min(failure.text.size(), kFailureText - 1);
            std::memcpy(notice.text, failure.text.data(), length);
            notice.text[length] = '\0';
            notice.state.store(kSet, std::memory_order_release);
            break;
        }
        while (state == kBeingWritten && !patience.passed()) {
            std::this_thread::yield();
            state = notice.state.load(std::memory_order_acquire);
        }
        if (state == kSet && notice.operation <= failure.operation) break;
    }
    // Release: whoever sees how far it reaches finds the notice. Also where there was no room for it.
    uint64_t reach = board().reach.load(std::memory_order_relaxed);
    while (reach < ~failure.operation &&
           !board().reach.compare_exchange_weak(reach, ~failure.operation, std::memory_order_release,
                                                std::memory_order_relaxed)) {
    }
    for (int l = 0; l < local_size(); ++l)
        if (l != local_rank_) doorbell_.ring(names_[l]);
}

uint64_t Segment::fails_from() const {
    return ~board().reach.load(std::memory_order_acquire);  // pairs with post_failure()
}

std::vector<Failure> Segment::failures() const {
    const uint64_t from = fails_from();  // first: every notice that it reaches is there to be read
    std::vector<Failure> posted;
    uint64_t lowest = UINT64_MAX;
    for (const Board::Notice& notice : board().notices) {
        if (notice.state.load(std::memory_order_acquire) != kSet) continue;  // pairs with post_failure()
        posted.push_back(
            {is_failure_kind(static_cast<uint8_t>(notice.kind)) ? notice.kind : FailureKind::kInternal,
             std::string(notice.text, ::strnlen(notice.text, kFailureText)), notice.operation});
        lowest = std::min(lowest, notice.operation);
    }
    if (from < lowest)
        posted.push_back({FailureKind::kInternal, "the group failed on several ranks of this host", from});
    return posted;
}

Segment::Progress& Segment::progress(int rank) const {
    // Each on a line of its own: every rank writes its own with each operation.
    static_assert(sizeof(Progress) <= kLine);
    return *reinterpret_cast<Progress*>(mapping_.data() + progress_at_ + rank * kLine);
}

void Segment::tell_end(int rank, uint32_t how) {
    progress(rank).ended.store(how, std::memory_order_relaxed);
    board().ends.fetch_add(1, std::memory_order_release);  // whoever sees it finds who it was
    wake_all();
}

uint32_t Segment::ends_told() const {
    return board().ends.load(std::memory_order_acquire);  // pairs with tell_end()
}

MemoryTicket Segment::ticket(int local) const {
    return block(local).ticket;
}

void Segment::withdraw() {
    // Sequentially consistent: nothing that is done to the memory afterwards comes before it.
    block(local_rank_).withdrawn.store(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

bool Segment::withdrawn(int local) const {
    // Relaxed: the reader's fence puts it after the reading.
    return block(local).withdrawn.load(std::memory_order_relaxed) != 0;
}

void Segment::refuse(int lane, uint64_t phase) {
    block(local_rank_).refused[lane].store(phase, std::memory_order_relaxed);  // published with the phase
}

bool Segment::anyone_refused(int lane, uint64_t phase) const {
    for (int l = 0; l < local_size(); ++l)
        if (block(l).refused[lane].load(std::memory_order_relaxed) == phase) return true;  // as above
    return false;
}

void Segment::depart() {
    // Release: everything this rank published comes before its departure.
    block(local_rank_).departed.store(1, std::memory_order_release);
    board().departures.fetch_add(1, std::memory_order_release);
    // Also those that wait for nothing: they tell other hosts.
    for (int l = 0; l < local_size(); ++l)
        if (l != local_rank_) doorbell_.ring(names_[l]);
}

bool Segment::departed(int local) const {
    return block(local).departed.load(std::memory_order_acquire) != 0;  // pairs with depart()
}

bool Segment::anyone_departed() const {
    return board().departures.load(std::memory_order_acquire) != 0;  // pairs with depart()
}

void Segment::give_back(const std::vector<bool>& dead) {
    for (int l = 0; l < local_size(); ++l)
        if (!departed(l) && !dead[static_cast<size_t>(l)]) return;
    (void)::madvise(mapping_.data(), mapping_.size(), MADV_REMOVE);
}

bool AllLocal::ready() {
    if (segment_ == nullptr) return true;
    while (next_ < segment_->local_size() && (next_ == segment_->local_rank() || passed(next_))) ++next_;
    return next_ == segment_->local_size();
}

std::vector<int> AllLocal::awaited() const {
    std::vector<int> missing;
    for (int l = next_; segment_ != nullptr && l < segment_->local_size(); ++l)
        if (l != segment_->local_rank() && !passed(l)) missing.push_back(segment_->rank_of(l));
    return missing;
}

}  // namespace ring
