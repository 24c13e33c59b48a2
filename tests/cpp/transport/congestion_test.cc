// The congestion control of connections between hosts: who keeps the one that was chosen, and who gets the
// system's.
#include "ring/transport/tcp/congestion.h"

#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/transport/tcp/pipe.h"
#include "ring/transport/tcp/socket.h"
#include "sockets.h"

namespace ring {
namespace {

using namespace ring::testing;

constexpr uint64_t kSegment = 1448;  // bytes

std::string name_of(int socket) {
    char name[16] = {};
    socklen_t length = sizeof(name);
    EXPECT_EQ(::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
    return name;
}

// One look after another of a connection, 8 MiB apart.
class Looks {
  public:
    bool suffers(uint64_t duplicates, uint64_t window, uint64_t unsent) {
        seen_.segments += 5800;
        seen_.duplicates += duplicates;
        seen_.window = window * kSegment;
        seen_.unsent = unsent;
        return watch_.suffers(seen_);
    }

  private:
    CongestionWatch watch_;
    CongestionWatch::Seen seen_;
};

// The figures of both tests are from network namespaces, where both ends sent, and where one did.
TEST(Congestion, SuffersWherePacketsAreOvertakenAndTheWindowIsSmall) {
    Looks looks;
    EXPECT_FALSE(looks.suffers(90, 1382, 0));
    EXPECT_FALSE(looks.suffers(45, 117, 3'002'832));
    EXPECT_FALSE(looks.suffers(0, 87, 3'942'904));
    EXPECT_TRUE(looks.suffers(0, 98, 3'751'816));
}

TEST(Congestion, DoesNotSufferFromABurstOrFromAFullWindow) {
    Looks calm;
    for (int i = 0; i < 1000; ++i) EXPECT_FALSE(calm.suffers(i % 100 == 0 ? 90 : 0, 571, 0));
    Looks full;  // a link that is the limit, and whose losses are losses
    for (int i = 0; i < 1000; ++i) EXPECT_FALSE(full.suffers(0, 59, 4'000'000));
}

TEST(Congestion, NoticesAfterALongQuietTime) {
    Looks looks;
    for (int i = 0; i < 100'000; ++i) ASSERT_FALSE(looks.suffers(0, 571, 0));
    bool noticed = false;
    for (int i = 0; i < 20 && !noticed; ++i) noticed = looks.suffers(20, 60, 3'000'000);
    EXPECT_TRUE(noticed);
}

TEST(Congestion, AConnectionThatIsWellKeepsIts) {
    auto [socket, accepted] = connected_sockets("127.0.0.1");
    TcpPipe reader(std::move(accepted));
    tcp_configure(socket);
    const std::string chosen = name_of(socket.get());
    EXPECT_FALSE(chosen.starts_with("bbr")) << "between near hosts";
    TcpPipe writer(std::move(socket));
    std::vector<char> from(1 << 20, 'x'), to(1 << 20);
    constexpr size_t kBytes = 100 << 20;
    size_t written = 0;
    size_t read = 0;
    const Deadline deadline = Deadline::after(std::chrono::seconds(20));
    while (read < kBytes && !deadline.passed()) {
        const size_t at = written % from.size();
        const iovec out{from.data() + at, std::min(from.size() - at, kBytes - written)};
        if (out.iov_len > 0) written += writer.write(&out, 1);
        const iovec in{to.data(), to.size()};
        read += reader.read(&in, 1);
    }
    EXPECT_EQ(read, kBytes);
    EXPECT_EQ(name_of(writer.fd()), chosen);
}

}  // namespace
}  // namespace ring
