// Where the payload of a message goes that is received while it arrives.
#include "ring/transport/message/mailbox.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "ring/base/fd.h"
#include "ring/transport/tcp/pipe.h"

namespace ring {
namespace {

constexpr uint64_t kGroup = 7;

TEST(Mailbox, AnEagerMessageMayBeReceivedWhileItArrives) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd peer(ends[0]);
    Mailbox mailbox(
        0, 2, kGroup, SingleCopy::kNone, [](int) {}, [](int rank) { return std::to_string(rank); });
    mailbox.attach_in(1, std::make_unique<TcpPipe>(UniqueFd(ends[1])));

    std::vector<std::byte> payload(50'000);
    for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(i * 31 % 251);
    const MessageKey key{.operation = 0, .tag = 3};
    MessageHeader header;
    header.type = MessageType::kEager;
    header.group = kGroup;
    header.key = key;
    header.length = payload.size();
    header.id = 1;
    const auto send = [&](const void* data, size_t bytes) {
        ASSERT_EQ(::send(peer.get(), data, bytes, 0), static_cast<ssize_t>(bytes));
        mailbox.mark_readable(1);
        mailbox.progress();
    };

    // Twice: what the first leaves behind must not touch the second.
    for (int round = 0; round < 2; ++round) {
        std::vector<std::byte> got(payload.size());
        send(&header, sizeof(header));
        send(payload.data(), 20'000);
        const TransferPtr transfer = mailbox.receive(1, key, {}, got.data(), got.size());
        EXPECT_FALSE(transfer->done);
        EXPECT_EQ(std::memcmp(got.data(), payload.data(), 20'000), 0) << "what had come is there at once";
        send(payload.data() + 20'000, 30'000);
        EXPECT_TRUE(transfer->done);
        EXPECT_EQ(got, payload);
        ++header.id;
    }
}

}  // namespace
}  // namespace ring
