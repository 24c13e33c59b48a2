// The conformance suite of the transports: whatever implements Pipe must pass it, alone and under a Link.
#include <numeric>

#include "group.h"
#include "ring/transport/link.h"
#include "ring/transport/shm/pipe.h"
#include "ring/transport/tcp/pipe.h"
#include "ring/transport/tcp/socket.h"
#include "segments.h"
#include "sockets.h"

namespace ring {
namespace {

using namespace ring::testing;

// Two connected ends of one transport.
class Ends {
  public:
    virtual ~Ends() = default;
    std::unique_ptr<Pipe> a;
    std::unique_ptr<Pipe> b;
    virtual void close_b() = 0;  // in good order, as a rank that leaves
};

class TcpEnds : public Ends {
  public:
    explicit TcpEnds(const std::string& address) {
        auto [client, server] = connected_sockets(address);
        a = std::make_unique<TcpPipe>(std::move(client));
        b = std::make_unique<TcpPipe>(std::move(server));
    }
    void close_b() override { b.reset(); }
};

class ShmEnds : public Ends {
  public:
    ShmEnds() {
        a = std::make_unique<ShmPipe>(segments_.of(0), 1, ChannelUse::kLink);
        b = std::make_unique<ShmPipe>(segments_.of(1), 0, ChannelUse::kLink);
    }
    void close_b() override { segments_.of(1).depart(); }

  private:
    Segments segments_{2};
};

struct Transport {
    const char* name;
    std::function<std::unique_ptr<Ends>()> connect;
};

class PipeConformance : public ::testing::TestWithParam<Transport> {
  protected:
    std::unique_ptr<Ends> ends_ = GetParam().connect();
    const Deadline deadline_ = Deadline::after(std::chrono::seconds(20));
};

std::vector<std::byte> pattern(size_t bytes, int seed) {
    std::vector<std::byte> data(bytes);
    for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>((i * 31 + seed) & 0xff);
    return data;
}

std::vector<std::unique_ptr<Pipe>> one(std::unique_ptr<Pipe> pipe) {
    std::vector<std::unique_ptr<Pipe>> streams;
    streams.push_back(std::move(pipe));
    return streams;
}

iovec piece(std::vector<std::byte>& data, size_t from, size_t bytes) {
    return {data.data() + from, bytes};
}

TEST_P(PipeConformance, ReadsNothingWhereNothingWasWritten) {
    std::vector<std::byte> room(10);
    const iovec whole = piece(room, 0, room.size());
    EXPECT_EQ(ends_->a->read(&whole, 1), 0u);
}

TEST_P(PipeConformance, MovesEveryByteInOrderInBothDirections) {
    auto there = pattern(3'000'017, 1);
    auto back = pattern(1'000'003, 2);
    std::vector<std::byte> got_there(there.size());
    std::vector<std::byte> got_back(back.size());
    size_t written_a = 0, written_b = 0, read_a = 0, read_b = 0;
    while ((read_b < there.size() || read_a < back.size()) && !deadline_.passed()) {
        const auto step = [](auto& pipe, auto method, auto& data, size_t& at) {
            if (at == data.size()) return;
            const size_t half = (data.size() - at) / 2;  // in two pieces, to see scatter and gather
            const iovec pieces[] = {piece(data, at, half), piece(data, at + half, data.size() - at - half)};
            at += (*pipe.*method)(pieces, 2);
        };
        step(ends_->a, &Pipe::write, there, written_a);
        step(ends_->b, &Pipe::write, back, written_b);
        step(ends_->b, &Pipe::read, got_there, read_b);
        step(ends_->a, &Pipe::read, got_back, read_a);
    }
    EXPECT_EQ(got_there, there);
    EXPECT_EQ(got_back, back);
}

TEST_P(PipeConformance, WriteStopsWhenNobodyReads) {
    auto data = pattern(64 << 20, 3);
    const iovec whole = piece(data, 0, data.size());
    size_t written = 0;
    for (int attempt = 0; attempt < 200; ++attempt) written += ends_->a->write(&whole, 1);
    EXPECT_GT(written, 0u);
    EXPECT_LT(written, data.size());
}

TEST_P(PipeConformance, WhatWasWrittenBeforeLeavingIsDeliveredThenThePeerIsGone) {
    auto data = pattern(1000, 4);
    const iovec whole = piece(data, 0, data.size());
    ASSERT_EQ(ends_->b->write(&whole, 1), data.size());
    ends_->close_b();
    std::vector<std::byte> got(data.size());
    size_t at = 0;
    while (at < got.size() && !deadline_.passed()) {
        const iovec rest = piece(got, at, got.size() - at);
        at += ends_->a->read(&rest, 1);
    }
    EXPECT_EQ(got, data);
    const iovec more = piece(got, 0, 1);
    EXPECT_THROW(while (!deadline_.passed()) ends_->a->read(&more, 1), PeerGone);
}

TEST_P(PipeConformance, LinkDeliversFramesOfAllSizesAndTicketsCount) {
    Link sender(0, 1, one(std::move(ends_->a)));
    Link receiver(1, 0, one(std::move(ends_->b)));
    const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 0, 300'000, 7, 1'000'000};
    std::vector<std::vector<std::byte>> sent;
    std::vector<std::vector<std::byte>> got;
    uint64_t last_sent = 0, last_received = 0;
    for (size_t i = 0; i < std::size(sizes); ++i) {
        sent.push_back(pattern(sizes[i], static_cast<int>(i)));
        got.emplace_back(sizes[i]);
        FrameHeader header{
            .group = 9, .operation = 3, .signature = signature(Collective::kAllReduce, DType::kUInt8, 5)};
        header.index = i;
        header.length = sizes[i];
        last_sent = sender.post_send(header, sent.back().data());
        last_received = receiver.post_recv(header, got.back().data());
    }
    ReceivedUpTo all(receiver, last_received);
    while (!(all.ready() && SentUpTo(sender, last_sent).ready()) && !deadline_.passed()) {
        sender.progress();
        receiver.progress();
    }
    EXPECT_EQ(got, sent);
    EXPECT_FALSE(sender.busy());
    EXPECT_FALSE(receiver.busy());
}

TEST_P(PipeConformance, LinkOverSeveralStreamsDeliversInOrder) {
    constexpr int kFrames = 40;
    auto others = GetParam().connect();
    std::vector<std::unique_ptr<Pipe>> there, here;
    there.push_back(std::move(ends_->a));
    there.push_back(std::move(others->a));
    here.push_back(std::move(ends_->b));
    here.push_back(std::move(others->b));
    Link sender(0, 1, std::move(there));
    Link receiver(1, 0, std::move(here));
    std::vector<std::vector<std::byte>> sent, got;
    uint64_t last_sent = 0;
    FrameHeader header{
        .group = 9, .operation = 3, .signature = signature(Collective::kAllReduce, DType::kUInt8, 5)};
    for (int i = 0; i < kFrames; ++i) {
        sent.push_back(pattern(static_cast<size_t>(i % 7) * 30'000, i));
        header.length = sent.back().size();
        last_sent = sender.post_send(header, sent.back().data());
    }
    // More is on its way than has been asked for: what comes early waits.
    for (int i = 0; i < kFrames; ++i) {
        got.emplace_back(sent[i].size());
        header.length = got.back().size();
        const uint64_t ticket = receiver.post_recv(header, got.back().data());
        while (receiver.received() < ticket && !deadline_.passed()) {
            sender.progress();
            receiver.progress();
        }
        ASSERT_EQ(got.back(), sent[i]) << i;
    }
    EXPECT_EQ(sender.sent(), last_sent);
    EXPECT_FALSE(receiver.busy());
}

TEST_P(PipeConformance, LinkNamesBothSidesOfAMismatch) {
    Link sender(2, 0, one(std::move(ends_->a)));
    Link receiver(0, 2, one(std::move(ends_->b)));
    FrameHeader header{
        .group = 9, .operation = 7, .signature = signature(Collective::kAllReduce, DType::kFloat32, 10)};
    FrameHeader expected = header;
    expected.signature.count = 12;
    sender.post_send(header, nullptr);
    receiver.post_recv(expected, nullptr);
    try {
        while (!deadline_.passed()) {
            sender.progress();
            receiver.progress();
        }
        FAIL() << "no error";
    } catch (const MismatchError& error) {
        EXPECT_NE(std::string(error.what())
                      .find("rank 2 called all_reduce(float32[10]), rank 0 all_reduce(float32[12]), "
                            "operation 7"),
                  std::string::npos)
            << error.what();
    }
}

TEST_P(PipeConformance, LinkRefusesWhatIsNotAFrame) {
    auto garbage = pattern(sizeof(FrameHeader), 5);
    const iovec whole = piece(garbage, 0, garbage.size());
    ASSERT_EQ(ends_->a->write(&whole, 1), garbage.size());
    Link receiver(1, 0, one(std::move(ends_->b)));
    receiver.post_recv(FrameHeader{}, nullptr);
    EXPECT_THROW(while (!deadline_.passed()) receiver.progress(), Error);
}

INSTANTIATE_TEST_SUITE_P(Transports, PipeConformance,
                         ::testing::Values(Transport{"tcp4",
                                                     [] { return std::make_unique<TcpEnds>("127.0.0.1"); }},
                                           Transport{"tcp6", [] { return std::make_unique<TcpEnds>("::1"); }},
                                           Transport{"shm", [] { return std::make_unique<ShmEnds>(); }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ring
