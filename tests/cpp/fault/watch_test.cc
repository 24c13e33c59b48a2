// What a rank makes of a connection that ended in good order: whoever left may have had a reason, whose words
// come another way.
#include "ring/fault/watch.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "ring/base/error.h"
#include "ring/fault/timeouts.h"
#include "ring/transport/tcp/pipe.h"
#include "segments.h"

namespace ring {
namespace {

using namespace ring::testing;

constexpr uint64_t kOperation = 7;

// A rank that waits for rank 1 in one operation.
class Waiting : public Watched {
  public:
    std::optional<Oldest> oldest() const override { return std::nullopt; }
    std::vector<int> awaited() const override { return {1}; }
    bool oldest_is_ready() const override { return false; }
    uint64_t needs(int rank, uint64_t) const override { return rank == 1 ? kOperation : kNone; }
    uint64_t fails_from() const override { return kNone; }
    void fail(Failure failure) override { failures.push_back(std::move(failure)); }
    void look_again() override {}

    std::vector<Failure> failures;
};

// Rank 0 of two, on a host of its own or with the other, and the far end of their control connection.
class WhoLeaves : public ::testing::Test {
  protected:
    struct Group {
        explicit Group(bool one_host)
            : layout(0,
                     {{.host_id = "a", .host_name = "a"},
                      {.host_id = one_host ? "a" : "b", .host_name = one_host ? "a" : "b"}},
                     false),
              mailbox(0, 2, 1, {}, [](int) {}, [](int rank) { return std::to_string(rank); }) {
            if (one_host) {
                segments.emplace(2);
            } else {
                int sockets[2] = {-1, -1};
                if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) != 0)
                    throw_errno("socketpair");
                controls.push_back(
                    std::make_unique<Control>(1, std::make_unique<TcpPipe>(UniqueFd(sockets[0]))));
                far = std::make_unique<Control>(0, std::make_unique<TcpPipe>(UniqueFd(sockets[1])));
            }
            watch.emplace(waiting, layout, segments ? &segments->of(0) : nullptr, controls, mailbox,
                          [](int) { return std::vector<int>{}; });
        }

        // Until it has failed something.
        bool fails() {
            const Deadline deadline = Deadline::after(milliseconds(30'000));
            while (waiting.failures.empty() && !deadline.passed()) {
                std::this_thread::sleep_for(milliseconds(1));
                watch->look();
            }
            return waiting.failures.size() == 1;
        }

        Waiting waiting;
        Layout layout;
        std::optional<Segments> segments;
        Watch::Controls controls;
        std::unique_ptr<Control> far;
        Mailbox mailbox;
        std::optional<Watch> watch;
    };
};

TEST_F(WhoLeaves, IsHeardFirst) {
    Group group(false);
    group.watch->lose(1, "closed", true);
    group.watch->look();
    EXPECT_TRUE(group.waiting.failures.empty());
    group.far->send(Control::Type::kFailure,
                    encode(Failure{FailureKind::kMismatch, "they called different things", kOperation}));
    group.far->flush();
    group.watch->read_controls();
    ASSERT_FALSE(group.waiting.failures.empty());
    EXPECT_EQ(group.waiting.failures[0].text, "they called different things");
}

TEST_F(WhoLeaves, HasLeftIfItSaysNothing) {
    Group group(false);
    const auto start = Clock::now();
    group.watch->lose(1, "closed", true);
    ASSERT_TRUE(group.fails());
    EXPECT_GE(Clock::now() - start, kExplain);
    EXPECT_NE(group.waiting.failures[0].text.find("left the group"), std::string::npos);
    EXPECT_EQ(group.waiting.failures[0].operation, kOperation);
}

TEST_F(WhoLeaves, IsGoneIfItsConnectionBroke) {
    Group group(false);
    group.watch->lose(1, "reset by peer", false);
    ASSERT_TRUE(group.fails());
    EXPECT_NE(group.waiting.failures[0].text.find("is gone: reset by peer"), std::string::npos);
}

TEST_F(WhoLeaves, IsNotBelievedWithinAHostBeforeTheNextStep) {
    Group group(true);
    const auto start = Clock::now();
    group.watch->lose(1, "left the group", true);
    ASSERT_TRUE(group.fails());
    EXPECT_GE(Clock::now() - start, kExplainInHost);
    EXPECT_NE(group.waiting.failures[0].text.find("left the group"), std::string::npos);
}

}  // namespace
}  // namespace ring
