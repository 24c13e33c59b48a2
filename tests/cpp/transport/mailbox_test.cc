// What a mailbox sends at once and what it is asked for; where a payload goes that is received while it
// arrives.
#include "ring/transport/message/mailbox.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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
    Mailbox mailbox(0, 2, kGroup, {}, [](int) {}, [](int rank) { return std::to_string(rank); });
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

// Its sender must not take it for sent, and leave.
TEST(Mailbox, AMessageThatIsWrittenInPartIsDoneWhenTheRestIs) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    const int small = 4096;
    ASSERT_EQ(::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    const UniqueFd peer(ends[1]);
    Mailbox mailbox(0, 2, kGroup, {}, [](int) {}, [](int rank) { return std::to_string(rank); });
    const std::vector<std::byte> payload(60'000, std::byte{7});
    const MessageKey key{.operation = 0, .tag = 3};
    EXPECT_FALSE(mailbox.send_now(1, key, {}, payload.data(), payload.size()))
        << "there is no connection yet";
    mailbox.call(1);
    mailbox.attach_out(1, std::make_unique<TcpPipe>(UniqueFd(ends[0])));
    const auto sent = mailbox.send_now(1, key, {}, payload.data(), payload.size());
    ASSERT_TRUE(sent.has_value());
    const TransferPtr& rest = *sent;
    ASSERT_NE(rest, nullptr);
    EXPECT_FALSE(rest->done);
    EXPECT_TRUE(mailbox.busy() && mailbox.writes());
    EXPECT_FALSE(mailbox.send_now(1, key, {}, payload.data(), 1)) << "behind the rest";
    std::vector<std::byte> got;
    std::vector<std::byte> buffer(10'000);
    while (!rest->done || got.size() < sizeof(MessageHeader) + payload.size()) {
        const ssize_t bytes = ::recv(peer.get(), buffer.data(), buffer.size(), 0);
        if (bytes > 0) got.insert(got.end(), buffer.begin(), buffer.begin() + bytes);
        mailbox.progress();
        ASSERT_TRUE(bytes > 0 || mailbox.writes() || rest->done);
    }
    EXPECT_TRUE(std::equal(payload.begin(), payload.end(), got.begin() + sizeof(MessageHeader), got.end()));
    EXPECT_FALSE(mailbox.writes());
}

// A sender that keeps its messages within less credit than a link has.
TEST(Mailbox, AMessageBeyondItsCreditWaitsUntilItIsReceived) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    const auto describe = [](int rank) { return std::to_string(rank); };
    Mailbox sender(0, 2, kGroup, {}, [](int) {}, describe);
    Mailbox receiver(1, 2, kGroup, {}, [](int) {}, describe);
    const std::vector<std::byte> payload(20'000, std::byte{5});
    const auto send = [&](int64_t tag, size_t credit) {
        return sender.send(1, {.operation = 0, .tag = tag}, {}, payload.data(), payload.size(), credit);
    };
    const TransferPtr never_eager = send(1, 0);  // dials
    sender.attach_out(1, std::make_unique<TcpPipe>(UniqueFd(ends[0])));
    receiver.attach_in(0, std::make_unique<TcpPipe>(UniqueFd(ends[1])));
    const auto exchange = [&] {
        for (int turn = 0; turn < 10; ++turn) {
            sender.mark_readable(1);
            sender.progress();
            receiver.mark_readable(0);
            receiver.progress();
        }
    };
    std::vector<std::byte> got(payload.size());
    const auto receive = [&](int64_t tag) {
        std::fill(got.begin(), got.end(), std::byte{0});
        const TransferPtr transfer =
            receiver.receive(0, {.operation = 0, .tag = tag}, {}, got.data(), got.size());
        exchange();
        EXPECT_TRUE(transfer->done);
        EXPECT_EQ(got, payload);
    };

    exchange();
    EXPECT_FALSE(never_eager->done) << "nobody has received it";
    receive(1);
    EXPECT_TRUE(never_eager->done);

    // Credit comes back long before its usual portion has been received, or no more would be eager.
    constexpr size_t kTwo = 50'000;
    for (int64_t tag = 2; tag < 20; tag += 3) {
        const TransferPtr first = send(tag, kTwo);
        const TransferPtr second = send(tag + 1, kTwo);
        const TransferPtr third = send(tag + 2, kTwo);
        exchange();
        EXPECT_TRUE(first->done);
        EXPECT_TRUE(second->done);
        EXPECT_FALSE(third->done);
        receive(tag);
        receive(tag + 1);
        EXPECT_FALSE(third->done);
        receive(tag + 2);
        EXPECT_TRUE(third->done);
    }
}

// Counts the system calls that it costs to drive it.
class CountingPipe : public TcpPipe {
  public:
    CountingPipe(UniqueFd socket, int& calls) : TcpPipe(std::move(socket)), calls_(calls) {}
    size_t write(const iovec* pieces, int count) override {
        ++calls_;
        return TcpPipe::write(pieces, count);
    }
    size_t read(const iovec* pieces, int count) override {
        ++calls_;
        return TcpPipe::read(pieces, count);
    }

  private:
    int& calls_;
};

// Two mailboxes, of which the sender's calls are counted.
class WaitingMessage : public ::testing::Test {
  protected:
    static constexpr int kPasses = 100'000;
    static constexpr int kFew = kPasses / 10;  // one pass in 32 looks, which takes two calls
    static constexpr size_t kLarge = 4 << 20;  // more than the kernel keeps of it

    void SetUp() override {
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        send(1);  // dials
        sender_.attach_out(1, std::make_unique<CountingPipe>(UniqueFd(ends[0]), calls_));
        receiver_.attach_in(0, std::make_unique<TcpPipe>(UniqueFd(ends[1])));
        sender_.progress();
        hear();
    }
    TransferPtr send(int64_t tag) {
        return sender_.send(1, {.operation = 0, .tag = tag}, {}, payload_.data(), payload_.size());
    }
    TransferPtr receive(int64_t tag) {
        const TransferPtr transfer =
            receiver_.receive(0, {.operation = 0, .tag = tag}, {}, got_.data(), got_.size());
        hear();
        return transfer;
    }
    void hear() {
        receiver_.mark_readable(0);
        receiver_.progress();
    }
    // The calls that so many passes of a driver cost.
    int calls_of(int passes) {
        const int before = calls_;
        for (int pass = 0; pass < passes; ++pass) sender_.progress();
        return calls_ - before;
    }

    int calls_ = 0;
    std::vector<std::byte> payload_ = std::vector<std::byte>(kLarge, std::byte{5});
    std::vector<std::byte> got_ = std::vector<std::byte>(kLarge);
    Mailbox sender_{0, 2, kGroup, {}, [](int) {}, [](int rank) { return std::to_string(rank); }};
    Mailbox receiver_{1, 2, kGroup, {}, [](int) {}, [](int rank) { return std::to_string(rank); }};
};

TEST_F(WaitingMessage, CostsNoSystemCallInMostPassesUntilItIsGranted) {
    EXPECT_LT(calls_of(kPasses), kFew);
    const auto transfer = receive(1);
    sender_.mark_readable(1);  // the kernel tells
    EXPECT_GE(calls_of(1), 2) << "the grant is read and answered at once";
}

TEST_F(WaitingMessage, HearsOfItsGrantSoonThoughTheKernelHasNotTold) {
    calls_of(kPasses);
    const auto transfer = receive(1);
    int passes = 0;
    while (calls_of(1) < 2 && passes < kPasses) ++passes;
    EXPECT_LT(passes, 100);
}

TEST_F(WaitingMessage, CostsNoSystemCallInMostPassesWhileNobodyReadsIt) {
    const auto transfer = receive(1);
    sender_.mark_readable(1);
    EXPECT_LT(calls_of(kPasses), kFew) << "the pipe is full";
    while (!transfer->done) {
        hear();
        sender_.mark_readable(1);
        sender_.progress();
    }
    EXPECT_EQ(got_, payload_);
}

// A reply is often there within microseconds.
TEST_F(WaitingMessage, APassLooksForWhatHasJustBeenPosted) {
    calls_of(kPasses);
    send(2);
    EXPECT_GE(calls_of(20), 20);
}

// A mailbox that a test talks to as its peer, rank 1, whose bytes it makes by hand.
class MailboxFromOutside : public ::testing::Test {
  protected:
    void SetUp() override {
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        peer_ = UniqueFd(ends[0]);
        mailbox_.attach_in(1, std::make_unique<TcpPipe>(UniqueFd(ends[1])));
    }

    static MessageHeader header(MessageType type, uint64_t id, uint64_t operation, size_t bytes) {
        MessageHeader made;
        made.type = type;
        made.group = kGroup;
        made.key = {.operation = operation, .tag = 0};
        made.length = bytes;
        made.id = id;
        return made;
    }
    void write(const void* data, size_t bytes) {
        ASSERT_EQ(::send(peer_.get(), data, bytes, 0), static_cast<ssize_t>(bytes));
    }
    bool progress() {
        mailbox_.mark_readable(1);
        return mailbox_.progress();
    }

    UniqueFd peer_;
    Mailbox mailbox_{0, 2, kGroup, {}, [](int) {}, [](int rank) { return std::to_string(rank); }};
};

// What the peer calls as operation 10 is wrong; operation 9 can still end.
TEST_F(MailboxFromOutside, AMismatchDropsThatMessageAlone) {
    std::vector<std::byte> nine(20'000);
    std::vector<std::byte> ten(100);
    const TransferPtr ninth = mailbox_.receive(1, {.operation = 9, .tag = 0}, {}, nine.data(), nine.size());
    const TransferPtr tenth = mailbox_.receive(1, {.operation = 10, .tag = 0}, {}, ten.data(), ten.size());
    const std::vector<std::byte> wrong(30'000, std::byte{1});
    const std::vector<std::byte> right(nine.size(), std::byte{2});
    MessageHeader first = header(MessageType::kEager, 1, 10, wrong.size());
    first.signature.count = 3;
    const MessageHeader second = header(MessageType::kEager, 2, 9, right.size());
    write(&first, sizeof(first));
    write(wrong.data(), wrong.size());
    write(&second, sizeof(second));
    write(right.data(), right.size());
    EXPECT_THROW(progress(), MismatchError);
    for (int turn = 0; turn < 10; ++turn) progress();
    EXPECT_TRUE(ninth->done);
    EXPECT_EQ(nine, right);
    EXPECT_FALSE(tenth->done);
    EXPECT_EQ(ten, std::vector<std::byte>(100)) << "nothing of it is taken";
}

TEST_F(MailboxFromOutside, NumbersOfMessagesAreChecked) {
    const MessageHeader twice = header(MessageType::kRequest, 1, 0, 1'000'000);
    write(&twice, sizeof(twice));
    write(&twice, sizeof(twice));
    EXPECT_THROW(progress(), Error);
}

TEST_F(MailboxFromOutside, MoreThanItsCreditIsNotKept) {
    const std::vector<std::byte> payload(kEagerBetweenHosts);
    uint64_t id = 0;
    const auto send = [&] {
        const MessageHeader one = header(MessageType::kEager, ++id, 0, payload.size());
        write(&one, sizeof(one));
        for (size_t at = 0; at < payload.size(); at += 32 << 10) {
            write(payload.data() + at, 32 << 10);
            progress();
        }
    };
    for (size_t i = 0; i < kCreditBytes / payload.size() - 1; ++i) send();
    EXPECT_THROW(send(), Error);
}

// A connection of the peer's comes first, and then one is opened to it.
TEST_F(MailboxFromOutside, EachPeerIsDrivenOnce) {
    const std::vector<std::byte> data(10);
    mailbox_.send(1, {.operation = 0, .tag = 0}, {}, data.data(), data.size());
    EXPECT_EQ(mailbox_.active(), std::vector<int>{1});
}

}  // namespace
}  // namespace ring
