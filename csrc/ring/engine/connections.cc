// See connections.h.
#include "ring/engine/connections.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <set>

#include "ring/base/error.h"
#include "ring/base/interrupt.h"
#include "ring/base/process.h"
#include "ring/collectives/hypercube.h"
#include "ring/engine/connector.h"
#include "ring/transport/shm/pipe.h"

namespace ring {
namespace {

// What wakes the thread that forms a group while it connects.
class Events {
  public:
    explicit Events(const Doorbell& doorbell) : doorbell_(doorbell) { watch(doorbell.fd()); }

    void watch(int fd) {
        epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.fd = fd}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
    }
    void wait(Deadline until) {
        std::array<epoll_event, 16> events;
        const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), until.poll_ms());
        for (int i = 0; i < count; ++i)
            if (events[i].data.fd == doorbell_.fd()) doorbell_.drain();
    }

  private:
    const Doorbell& doorbell_;
    const UniqueFd epoll_ = checked_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

std::vector<Connected> connect_over(Fabric& fabric, const Layout& layout, const std::vector<int>& peers,
                                    const Doorbell& doorbell, int streams, Deadline deadline) {
    Events events(doorbell);
    Connector connector(fabric, layout.rank(), peers, streams, Deadline(deadline.at()),
                        {.watch = [&](int fd) { events.watch(fd); },
                         .arrived = [&] { doorbell.ring(doorbell.name()); },
                         .describe = [&](int rank) { return layout.describe(rank); }});
    Interrupts interrupts;
    while (!connector.step()) {
        events.wait(
            Deadline(std::min({connector.next(), deadline.next_look(), interrupts.next(Clock::now())})));
        if (const auto now = Clock::now(); now >= interrupts.next(now)) interrupts.check();
        (void)deadline.passed();  // looks; that the time is up, the connector finds itself
    }
    return connector.take();
}

std::unique_ptr<Segment> share_memory(const Layout& layout, const Roster& roster, const Doorbell& doorbell,
                                      const std::vector<std::string>& names, Deadline deadline) {
    const auto& local = layout.host_ranks();
    // Only by the first, who passes it on: for the others it need not be there any more.
    for (size_t l = 1; l < local.size() && layout.rank() == local.front(); ++l) {
        if (doorbell.reaches(names[l])) continue;
        const Member& peer = layout.member(local[l]);
        if (!process_ended(peer.pid, peer.process))
            throw PeerError(layout.describe(local[l]) + " has given up");
        throw Gone(not_on_this_host(layout, local[l]));
    }
    try {
        return std::make_unique<Segment>(layout.local_index(layout.rank()), local, layout.size(), doorbell,
                                         names, std::to_string(roster.group), roster.barriers, deadline);
    } catch (const TimeoutError&) {
        if (layout.rank() == local.front()) throw;
        throw Bystander(layout.describe(local.front()) +
                        " has not passed on the shared memory of this host in time");
    }
}

}  // namespace

std::string not_on_this_host(const Layout& layout, int rank) {
    return not_on_this_host(layout.describe(rank), layout.describe(layout.rank()));
}

std::vector<int> neighbours(const Layout& layout, int rank) {
    const int position = layout.cell_of(rank);
    const auto& cell = layout.cell(position);
    const auto local = static_cast<size_t>(std::find(cell.begin(), cell.end(), rank) - cell.begin());
    const int n = layout.cells();
    if (n == 1 || local >= static_cast<size_t>(layout.rails())) return {};
    std::set<int> positions{(position + 1) % n, (position + n - 1) % n};
    const auto partners = Hypercube(position, n).partners();
    positions.insert(partners.begin(), partners.end());
    std::vector<int> ranks;
    for (const int other : positions) ranks.push_back(layout.cell(other)[local]);
    return ranks;
}

Connections connect_group(Store& store, const Layout& layout, const Roster& roster, const Doorbell& doorbell,
                          std::unique_ptr<TcpFabric> fabric, int streams, Deadline deadline) {
    Connections made;
    const int self = layout.rank();
    if (fabric != nullptr) publish_addresses(store, roster, self, fabric->listen());
    const auto& local = layout.host_ranks();
    if (local.size() > 1) {
        std::vector<std::string> names;
        for (const int rank : local) names.push_back(roster.doorbells[rank]);
        made.segment = share_memory(layout, roster, doorbell, names, deadline);
    }
    if (fabric != nullptr) fabric->learn(addresses(store, roster, self, deadline));
    std::vector<int> peers;
    for (const int peer : neighbours(layout, self)) {
        if (fabric != nullptr && fabric->viable(peer)) {
            peers.push_back(peer);
        } else {
            std::vector<std::unique_ptr<Pipe>> pipe;
            pipe.push_back(
                std::make_unique<ShmPipe>(*made.segment, layout.local_index(peer), ChannelUse::kLink));
            made.links[layout.cell_of(peer)] = std::make_unique<Link>(self, peer, std::move(pipe));
        }
    }
    if (fabric != nullptr)
        for (auto& [peer, control, pipes] :
             connect_over(*fabric, layout, peers, doorbell, streams, deadline)) {
            made.controls.push_back(std::make_unique<Control>(peer, std::move(control)));
            made.links[layout.cell_of(peer)] = std::make_unique<Link>(self, peer, std::move(pipes));
        }
    made.fabric = std::move(fabric);
    return made;
}

void await_host(Segment& segment, const Layout& layout, const Doorbell& doorbell, Deadline deadline) {
    Events events(doorbell);  // or it fails, before others rely on this rank
    segment.arrive();
    Interrupts interrupts;
    while (!segment.all_arrived()) {
        if (deadline.passed() && !segment.all_arrived())
            throw Bystander(layout.describe(segment.rank_of(segment.first_absent())) +
                            " has not joined the others of this host in time");
        events.wait(Deadline(std::min(deadline.next_look(), interrupts.next(Clock::now()))));
        if (const auto now = Clock::now(); now >= interrupts.next(now)) interrupts.check();
    }
}

}  // namespace ring
