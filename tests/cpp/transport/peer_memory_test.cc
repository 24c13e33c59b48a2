// Reading the private memory of another rank: what is read, and what keeps a rank from reading rubbish.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "ring/transport/pipe.h"
#include "ring/transport/shm/peer_memory.h"
#include "segments.h"

namespace ring {
namespace {

using namespace ring::testing;

uint64_t address_of(const void* memory) {
    return reinterpret_cast<uint64_t>(memory);
}

TEST(PeerMemory, ReadsWhatThePeerHolds) {
    Segments segments(2);
    PeerMemory memory(segments.of(0), 1);
    std::vector<std::byte> held(3 << 20);
    for (size_t i = 0; i < held.size(); ++i) held[i] = static_cast<std::byte>(i * 31 % 251);
    std::vector<std::byte> got(held.size());
    ASSERT_TRUE(memory.read(got.data(), address_of(held.data()), held.size()));
    EXPECT_EQ(got, held);
    ASSERT_TRUE(memory.read(got.data(), address_of(held.data() + 77), 5));
    EXPECT_EQ(got[4], held[81]);
}

TEST(PeerMemory, AsksNoMoreWhereItWasRefused) {
    Segments segments(2);
    PeerMemory memory(segments.of(0), 1);
    std::byte got{};
    const std::byte held{7};
    void* const nothing = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_FALSE(memory.read(&got, address_of(nothing), 1));
    EXPECT_FALSE(memory.read(&got, address_of(&held), 1));
    ::munmap(nothing, 4096);
}

TEST(PeerMemory, DoesNotTakeAnotherProcessForThePeer) {
    Segments segments(2);
    PeerMemory memory(segments.of(0), 1);
    std::byte got{};
    const std::byte held{7};
    // As if the address meant something else there: another PID namespace, or a process that came later.
    const uint64_t proof = segments.of(1).ticket(1).address;
    ++*reinterpret_cast<uint8_t*>(proof);
    EXPECT_FALSE(memory.read(&got, address_of(&held), 1));
}

TEST(PeerMemory, ThrowsWhereThePeerHasTakenItBack) {
    Segments segments(2);
    PeerMemory memory(segments.of(0), 1);
    std::byte got{};
    const std::byte held{7};
    ASSERT_TRUE(memory.read(&got, address_of(&held), 1));
    segments.of(1).withdraw();
    EXPECT_THROW(memory.read(&got, address_of(&held), 1), PeerGone);
}

}  // namespace
}  // namespace ring
