// See congestion.h.
#include "ring/transport/tcp/congestion.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/log.h"

namespace ring {
namespace {

constexpr uint32_t kNearbyUs = 1000;  // round trip
constexpr double kDuplicatesPerSegment = 0.001;
constexpr double kForget = 0.9;  // from one look to the next
// A burst of them now and then does no harm: so often must the window have been too small for what is to be
// sent.
constexpr int kStrikes = 3;

bool set(const UniqueFd& socket, const std::string& name) {
    return ::setsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                        static_cast<socklen_t>(name.size())) == 0;
}

// "" if the kernel does not tell.
std::string congestion_control_of(const UniqueFd& socket) {
    char name[16] = {};
    socklen_t length = sizeof(name);
    if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name, &length) != 0) return "";
    return name;
}

// What new connections get.
std::string congestion_control_of_system() {
    return congestion_control_of(UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
}

// Older kernels tell less: the rest is 0.
std::optional<tcp_info> info_of(const UniqueFd& socket) {
    tcp_info info{};
    socklen_t length = sizeof(info);
    if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
    return info;
}

bool paces(const std::string& name) {
    return name.starts_with("bbr");
}

}  // namespace

void choose_congestion_control(const UniqueFd& socket) {
    const std::string& wanted = config().congestion;
    if (!wanted.empty()) {
        if (!set(socket, wanted))
            throw ConfigError("TORCH_RING_CONGESTION='" + wanted +
                              "' is not allowed here: " + std::strerror(errno) +
                              "; see net.ipv4.tcp_allowed_congestion_control for what is");
        return;
    }
    const auto info = info_of(socket);
    if (info && info->tcpi_rtt < kNearbyUs && paces(congestion_control_of(socket)) && !set(socket, "cubic"))
        set(socket, "reno");
}

bool CongestionWatch::suffers(const Seen& seen) {
    segments_ = kForget * segments_ + static_cast<double>(seen.segments - last_.segments);
    duplicates_ = kForget * duplicates_ + static_cast<double>(seen.duplicates - last_.duplicates);
    last_ = seen;
    if (duplicates_ > kDuplicatesPerSegment * segments_ && seen.unsent > seen.window) ++strikes_;
    return strikes_ >= kStrikes;
}

void CongestionWatch::look(const UniqueFd& socket) {
    unseen_ = 0;
    if (settled_) return;
    const auto info = info_of(socket);
    if (!info || !config().congestion.empty() || paces(congestion_control_of(socket))) {
        settled_ = true;
        return;
    }
    if (!suffers({.segments = info->tcpi_data_segs_out,
                  .duplicates = info->tcpi_dsack_dups,
                  .window = uint64_t{info->tcpi_snd_cwnd} * info->tcpi_snd_mss,
                  .unsent = info->tcpi_notsent_bytes}))
        return;
    settled_ = true;
    const std::string system = congestion_control_of_system();
    if (paces(system) && set(socket, system))
        log(LogLevel::kInfo, "packets overtake one another: a connection goes on with " + system);
}

}  // namespace ring
