// Which large messages inside a host are read out of their sender's memory, and which come through the
// channel.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "ring/kernels/copy.h"
#include "ring/transport/message/mailbox.h"
#include "ring/transport/shm/pipe.h"
#include "segments.h"

namespace ring {
namespace {

using namespace ring::testing;

constexpr size_t kBytes = 3 << 20;  // several frames, and more than a channel holds

// The mailboxes of a host's ranks, all in this process.
class Host {
  public:
    Host(int size, HostCopies copies) : segments_(size) {
        for (int rank = 0; rank < size; ++rank) {
            mailboxes_.push_back(std::make_unique<Mailbox>(
                rank, size, 7, copies, [](int) {}, [](int peer) { return std::to_string(peer); }));
            for (int peer = 0; peer < size; ++peer)
                if (peer != rank)
                    mailboxes_.back()->attach_local(
                        peer, std::make_unique<ShmPipe>(segments_.of(rank), peer, ChannelUse::kMessages),
                        std::make_unique<PeerMemory>(segments_.of(rank), peer));
        }
    }

    // From one rank to another; true where it was read out of the sender's memory.
    bool is_read(int from, int to, Collective kind) {
        const MessageKey key{.operation = kind == Collective::kSend ? uint64_t{0} : ++operation_, .tag = 1};
        const Signature signature{.kind = kind};
        std::vector<std::byte> data(kBytes);
        for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 % 251);
        std::vector<std::byte> got(kBytes);
        const auto sent = mailboxes_[from]->send(to, key, signature, data.data(), kBytes);
        const auto received = mailboxes_[to]->receive(from, key, signature, got.data(), kBytes);
        const Deadline deadline = Deadline::after(std::chrono::seconds(20));
        while (!(sent->done && received->done) && !deadline.passed())
            for (const auto& mailbox : mailboxes_) mailbox->progress();
        EXPECT_TRUE(sent->done && received->done);
        EXPECT_EQ(got, data);
        return sent->moved == 0;  // what goes through the channel its sender moves
    }

    // Goes on until this object ends: nobody receives it.
    void begin_sending(int from, int to, size_t bytes) {
        waiting_.resize(kBytes);
        mailboxes_[from]->send(to, {.operation = 0, .tag = 2}, {.kind = Collective::kSend}, waiting_.data(),
                               bytes);
    }

  private:
    Segments segments_;
    std::vector<std::unique_ptr<Mailbox>> mailboxes_;
    std::vector<std::byte> waiting_;
    uint64_t operation_ = 0;
};

HostCopies automatic(bool cheap, bool crowded = false) {
    if (cheap) return {.crowded = crowded, .kernel = [] { return KernelCopy::kCheap; }};
    return {.crowded = crowded, .kernel = [] { return KernelCopy::kDear; }};
}

TEST(HostCopies, ASendGoesThroughTheChannelWhileBothSidesAreFree) {
    Host host(2, automatic(true));
    EXPECT_FALSE(host.is_read(0, 1, Collective::kSend));
    host.begin_sending(0, 1, kBytes);
    EXPECT_FALSE(host.is_read(0, 1, Collective::kSend)) << "the receiver has nothing else to copy";
    host.begin_sending(1, 0, kEagerInHost);
    EXPECT_FALSE(host.is_read(0, 1, Collective::kSend)) << "what is small does not keep it";
}

TEST(HostCopies, ASendIsReadByARankThatSendsMeanwhile) {
    for (const bool cheap : {false, true}) {
        Host host(2, automatic(cheap));
        host.begin_sending(1, 0, kBytes);
        EXPECT_EQ(host.is_read(0, 1, Collective::kSend), cheap);
    }
}

TEST(HostCopies, ASendIsReadWhereRanksOutnumberCores) {
    for (const bool cheap : {false, true}) {
        Host host(2, automatic(cheap, true));
        EXPECT_EQ(host.is_read(0, 1, Collective::kSend), cheap);
    }
}

TEST(HostCopies, AScatterIsReadWhereItsRootHasSeveralToServe) {
    for (const bool cheap : {false, true}) {
        EXPECT_EQ(Host(3, automatic(cheap)).is_read(0, 1, Collective::kScatter), cheap);
        EXPECT_FALSE(Host(2, automatic(cheap)).is_read(0, 1, Collective::kScatter));
    }
}

TEST(HostCopies, AnAllToAllIsReadAndAGatherOnlyWhereRanksOutnumberCores) {
    for (const bool cheap : {false, true}) {
        EXPECT_EQ(Host(2, automatic(cheap)).is_read(0, 1, Collective::kAllToAll), cheap);
        EXPECT_FALSE(Host(3, automatic(cheap)).is_read(1, 0, Collective::kGather));
        EXPECT_EQ(Host(3, automatic(cheap, true)).is_read(1, 0, Collective::kGather), cheap);
    }
}

// How far cores are from each other is only found out by writing into memory that they share.
TEST(HostCopies, SomeGoThroughTheChannelWhereTheKernelIsCheapForNow) {
    Host host(2, {.kernel = [] { return KernelCopy::kCheapNow; }});
    int read = 0;
    for (int message = 0; message < 64; ++message)
        if (host.is_read(0, 1, Collective::kAllToAll)) ++read;
    EXPECT_EQ(read, 60);
}

TEST(HostCopies, ByTheKernelAreCheapByWhatEachTakes) {
    const LineCosts unknown{.kernel = 6, .processor = 1.5, .shared = 0};
    EXPECT_EQ(compare(unknown, 1, 2), KernelCopy::kDear);
    EXPECT_EQ(compare({.kernel = 6, .processor = 1.5, .shared = 2.5}, 1, 2), KernelCopy::kDear)
        << "near cores";
    EXPECT_EQ(compare({.kernel = 6, .processor = 1.5, .shared = 10}, 1, 2), KernelCopy::kCheapNow)
        << "far ones";
    EXPECT_EQ(compare({.kernel = 6, .processor = 1.5, .shared = 10}, 3, 1), KernelCopy::kDear);
    EXPECT_EQ(compare({.kernel = 2, .processor = 1.5, .shared = 0}, 1, 2), KernelCopy::kCheap);
    EXPECT_EQ(
        compare({.kernel = std::numeric_limits<double>::infinity(), .processor = 1, .shared = 100}, 1, 2),
        KernelCopy::kDear)
        << "refused";
}

TEST(HostCopies, TellWhatAStoreIntoSharedMemoryTakes) {
    const std::vector<char> from(64 << 10, 'x');
    std::vector<char> to(from.size());
    for (int i = 0; i < 100; ++i) copy_and_time(to.data(), from.data(), from.size());
    EXPECT_EQ(to, from);
    EXPECT_GT(shared_line_ns(), 0);
    // Of a core's own cache, however often it was interrupted.
    EXPECT_LT(shared_line_ns(), 1000);
}

TEST(HostCopies, TheUserMayChoose) {
    for (const Collective kind : {Collective::kSend, Collective::kGather, Collective::kAllToAll}) {
        EXPECT_TRUE(Host(2, {.single_copy = SingleCopy::kAll}).is_read(0, 1, kind));
        EXPECT_FALSE(Host(2, {.single_copy = SingleCopy::kNone}).is_read(0, 1, kind));
    }
}

}  // namespace
}  // namespace ring
