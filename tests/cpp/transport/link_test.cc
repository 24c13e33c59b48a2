// Frames over one and several streams: order, sharing, and a peer that leaves.
#include "ring/transport/link.h"
#include "ring/base/mismatch.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/error.h"
#include "ring/base/fd.h"
#include "ring/transport/tcp/pipe.h"

namespace ring {
namespace {

class LinkOverStreams : public ::testing::TestWithParam<int> {
  protected:
    void SetUp() override {
        std::vector<std::unique_ptr<Pipe>> ours;
        std::vector<std::unique_ptr<Pipe>> theirs;
        for (int i = 0; i < GetParam(); ++i) {
            int ends[2];
            ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
            ours.push_back(std::make_unique<TcpPipe>(UniqueFd(ends[0])));
            theirs.push_back(std::make_unique<TcpPipe>(UniqueFd(ends[1])));
            descriptors_.push_back(ends[1]);
        }
        near_ = std::make_unique<Link>(0, 1, std::move(ours));
        far_ = std::make_unique<Link>(1, 0, std::move(theirs));
    }

    static FrameHeader header(uint64_t operation, size_t bytes) {
        FrameHeader made{.group = 7, .operation = operation, .signature = {}};
        made.length = bytes;
        return made;
    }

    // Frame `i` of a test: its length and what is in it.
    static std::vector<std::byte> frame(int i) {
        return std::vector<std::byte>(static_cast<size_t>(i) * 1009 % 70'000, static_cast<std::byte>(i));
    }

    void post_sends(int count) {
        for (int i = 0; i < count; ++i) out_.push_back(frame(i));
        for (int i = 0; i < count; ++i) far_->post_send(header(i, out_[i].size()), out_[i].data());
    }
    void post_recvs(int count) {
        for (int i = 0; i < count; ++i) in_.emplace_back(frame(i).size());
        for (int i = 0; i < count; ++i) near_->post_recv(header(i, in_[i].size()), in_[i].data());
    }
    void expect_all() {
        ASSERT_EQ(in_.size(), out_.size());
        for (size_t i = 0; i < in_.size(); ++i) EXPECT_EQ(in_[i], out_[i]) << "frame " << i;
    }

    // Drives both ends until `done`.
    template <typename Done>
    void drive(Done done) {
        while (!done() && !deadline_.passed()) {
            if (far_ != nullptr && far_->busy()) far_->progress();
            near_->progress();
        }
        ASSERT_TRUE(done());
    }

    const Deadline deadline_ = Deadline::after(std::chrono::seconds(20));
    std::vector<int> descriptors_;  // of the far end
    std::unique_ptr<Link> near_;
    std::unique_ptr<Link> far_;
    std::vector<std::vector<std::byte>> out_;
    std::vector<std::vector<std::byte>> in_;
};

TEST_P(LinkOverStreams, DeliversEachFrameWhereItBelongs) {
    post_sends(200);
    post_recvs(200);
    drive([&] { return near_->received() == 200 && far_->sent() == 200; });
    expect_all();
    EXPECT_FALSE(near_->busy());
    EXPECT_FALSE(far_->busy());
}

TEST_P(LinkOverStreams, WaitsForAFrameThatNobodyHasPostedYet) {
    post_sends(30);
    for (int i = 0; i < 50; ++i) {
        far_->progress();
        EXPECT_FALSE(near_->progress());
    }
    post_recvs(30);
    drive([&] { return near_->received() == 30; });
    expect_all();
}

// A socket holds more than this many small frames: all are on their way when the sender closes its end, and
// which of the streams is looked at first must not matter.
TEST_P(LinkOverStreams, ReadsAllThatWasSentBeforeThePeerLeft) {
    constexpr int kFrames = 40;
    for (int i = 0; i < kFrames; ++i) {
        out_.emplace_back(500, static_cast<std::byte>(i));
        in_.emplace_back(500);
    }
    for (int i = 0; i < kFrames; ++i) {
        far_->post_send(header(i, 500), out_[i].data());
        far_->progress();
    }
    ASSERT_EQ(far_->sent(), static_cast<uint64_t>(kFrames));
    far_.reset();
    for (int i = 0; i < kFrames; ++i) near_->post_recv(header(i, 500), in_[i].data());
    drive([&] { return near_->received() == kFrames; });
    expect_all();
    std::byte more[8];
    near_->post_recv(header(kFrames, 8), more);
    EXPECT_THROW(near_->progress(), PeerGone);
}

TEST_P(LinkOverStreams, ReadsTheLastFrameWhenAllOtherStreamsAreClosed) {
    std::byte data[8] = {};
    near_->post_recv(header(0, sizeof data), data);
    for (const int one : descriptors_)
        if (one != descriptors_.back()) ::shutdown(one, SHUT_WR);
    near_->progress();
    EXPECT_EQ(near_->received(), 0U);
    FrameHeader last = header(0, sizeof data);
    last.index = 1;
    ASSERT_EQ(::send(descriptors_.back(), &last, sizeof last, 0), static_cast<ssize_t>(sizeof last));
    ASSERT_EQ(::send(descriptors_.back(), "12345678", 8, 0), 8);
    drive([&] { return near_->received() == 1; });
    EXPECT_EQ(data[7], std::byte{'8'});
    near_->post_recv(header(1, sizeof data), data);
    ::shutdown(descriptors_.back(), SHUT_WR);
    EXPECT_THROW(near_->progress(), PeerGone);
}

TEST_P(LinkOverStreams, NoticesAFrameThatWasCutOff) {
    std::vector<std::byte> whole(1000);
    near_->post_recv(header(0, whole.size()), whole.data());
    const FrameHeader started = header(0, whole.size());
    ASSERT_EQ(::send(descriptors_[0], &started, sizeof started / 2, 0),
              static_cast<ssize_t>(sizeof started / 2));
    EXPECT_TRUE(near_->progress());
    ::shutdown(descriptors_[0], SHUT_WR);
    EXPECT_THROW(near_->progress(), PeerGone);
}

// What was sent to it in the same go hides the end once, and not for good.
TEST_P(LinkOverStreams, SaysThatThePeerIsGoneThoughItTakesMore) {
    std::vector<std::byte> data(1000);
    near_->post_send(header(0, data.size()), data.data());
    near_->post_recv(header(0, data.size()), data.data());
    for (const int one : descriptors_) ::shutdown(one, SHUT_WR);
    EXPECT_TRUE(near_->progress());
    EXPECT_THROW(near_->progress(), PeerGone);
    EXPECT_THROW(near_->progress(), PeerGone);
}

TEST_P(LinkOverStreams, RefusesAFrameOfAnotherOperation) {
    std::byte data[8] = {};
    far_->post_send(header(3, sizeof data), data);
    far_->progress();
    near_->post_recv(header(4, sizeof data), data);
    EXPECT_THROW(near_->progress(), MismatchError);
    EXPECT_FALSE(near_->progress()) << "nothing more is received after that";
}

TEST_P(LinkOverStreams, RefusesWhatIsNoFrame) {
    std::byte data[8] = {};
    FrameHeader garbage = header(0, sizeof data);
    garbage.magic = 0;
    garbage.index = UINT64_MAX;  // must not be taken for a frame that is still to be posted
    ASSERT_EQ(::send(descriptors_.back(), &garbage, sizeof garbage, 0), static_cast<ssize_t>(sizeof garbage));
    near_->post_recv(header(0, sizeof data), data);
    if (GetParam() == 1) {
        ASSERT_EQ(::send(descriptors_.back(), data, sizeof data, 0), static_cast<ssize_t>(sizeof data));
    }
    EXPECT_THROW(near_->progress(), Error);
}

// A peer that called something else as operation 10 has sent operation 9 to its end.
TEST_P(LinkOverStreams, ReceivesWhatCameBeforeAFrameOfAnotherOperation) {
    constexpr size_t kBytes = 1000;
    const std::vector<std::byte> payload(kBytes, std::byte{7});
    std::vector<std::byte> nine(kBytes);
    std::vector<std::byte> ten(kBytes);
    near_->post_recv(header(9, kBytes), nine.data());
    near_->post_recv(header(10, kBytes), ten.data());
    FrameHeader right = header(9, kBytes);
    right.index = 1;
    FrameHeader wrong = header(11, kBytes);
    wrong.index = 2;
    const auto send = [&](int stream, const void* data, size_t bytes) {
        ASSERT_EQ(::send(descriptors_[stream], data, bytes, 0), static_cast<ssize_t>(bytes));
    };
    // With one stream the two come behind one another, else the second overtakes the first.
    const int first = GetParam() - 1;
    send(first, &right, sizeof right);
    send(first, payload.data(), GetParam() == 1 ? kBytes : 10);
    send(0, &wrong, sizeof wrong);
    send(0, payload.data(), kBytes);
    EXPECT_THROW(near_->progress(), MismatchError);
    if (GetParam() > 1) {
        EXPECT_EQ(near_->received(), 0U);
        send(first, payload.data() + 10, kBytes - 10);
    }
    drive([&] { return near_->received() == 1; });
    EXPECT_EQ(nine, payload);
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(near_->progress()) << "nothing more is received after that";
    EXPECT_EQ(near_->received(), 1U);
}

// Of two that are alike now, but were not before, nothing was seen then if they had nothing to wait for.
TEST_P(LinkOverStreams, RefusesAPeerWithAnotherPast) {
    const auto history = [](const Signature& earlier) { return with_call(with_call(0, {}), earlier); };
    std::byte to{};
    FrameHeader expected = header(3, 1);
    expected.history = history({.count = 1, .root = 0, .kind = Collective::kScatter});
    near_->post_recv(expected, &to);
    FrameHeader sent = header(3, 1);
    sent.history = history({.count = 1, .root = 0, .kind = Collective::kGather});
    const std::byte payload{1};
    far_->post_send(sent, &payload);
    far_->progress();
    EXPECT_THROW(drive([&] { return near_->received() == 1; }), DifferentPast);
}

TEST_P(LinkOverStreams, ForgetsWhatWasPosted) {
    post_recvs(3);
    near_->abort();
    EXPECT_FALSE(near_->busy());
    EXPECT_FALSE(near_->progress());
}

INSTANTIATE_TEST_SUITE_P(Streams, LinkOverStreams, ::testing::Values(1, 2, 5));

}  // namespace
}  // namespace ring
