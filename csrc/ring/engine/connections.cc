// See connections.h.
#include "ring/engine/connections.h"

#include <algorithm>
#include <set>

#include "ring/base/error.h"
#include "ring/base/interrupt.h"
#include "ring/base/process.h"
#include "ring/collectives/hypercube.h"
#include "ring/transport/shm/pipe.h"
#include "ring/transport/tcp/pipe.h"

namespace ring {
namespace {

class Connector {
  public:
    Connector(const Layout& layout, const Roster& roster, Acceptor* acceptor, int streams, Deadline deadline,
              Connections& made)
        : layout_(layout),
          roster_(roster),
          acceptor_(acceptor),
          stream_count_(streams),
          deadline_(deadline),
          made_(made) {}

    // Of two ranks the lower one calls.
    std::unique_ptr<Link> link_to(int peer) {
        if (layout_.same_host(peer, layout_.rank())) return over_memory(peer);
        return peer > layout_.rank() ? call_peer(peer) : take_peer(peer);
    }

  private:
    std::unique_ptr<Link> call_peer(int peer) {
        return over_tcp(peer, [&](Purpose purpose, int stream) {
            Connecting call =
                made_.dialer.dial(layout_, roster_, peer, purpose, stream, deadline_, [](int) {});
            while (!call.advance()) {
                call.wait(std::min(deadline_.next_look(), Clock::now() + kInterruptEvery));
                check_interrupt();
            }
            made_.dialer.remember(roster_, peer, call);
            return call.take();
        });
    }

    std::unique_ptr<Link> take_peer(int peer) {
        try {
            return over_tcp(peer, [&](Purpose purpose, int stream) {
                return acceptor_->take(roster_.group, peer, layout_.rank(), purpose, stream, deadline_);
            });
        } catch (const TimeoutError& error) {
            throw Bystander(layout_.describe(peer) + " has not connected in time: " + error.what());
        }
    }

    std::unique_ptr<Link> over_memory(int peer) {
        std::vector<std::unique_ptr<Pipe>> pipe;
        pipe.push_back(
            std::make_unique<ShmPipe>(*made_.segment, layout_.local_index(peer), ChannelUse::kLink));
        return std::make_unique<Link>(layout_.rank(), peer, std::move(pipe));
    }

    template <typename Open>
    std::unique_ptr<Link> over_tcp(int peer, Open open) {
        add_control(peer, open(Purpose::kControl, 0));
        std::vector<std::unique_ptr<Pipe>> streams;
        for (int stream = 0; stream < stream_count_; ++stream) {
            UniqueFd socket = open(Purpose::kData, stream);
            made_.data_fds.push_back(socket.get());
            streams.push_back(std::make_unique<TcpPipe>(std::move(socket)));
        }
        return std::make_unique<Link>(layout_.rank(), peer, std::move(streams));
    }

    void add_control(int peer, UniqueFd socket) {
        made_.controls.push_back(std::make_unique<Control>(peer, std::move(socket)));
    }

    const Layout& layout_;
    const Roster& roster_;
    Acceptor* acceptor_;
    int stream_count_;
    Deadline deadline_;
    Connections& made_;
};

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
                          Acceptor* acceptor, Dialer dialer, int streams, Deadline deadline) {
    Connections made;
    made.dialer = std::move(dialer);
    if (acceptor != nullptr) publish_addresses(store, roster, layout.rank(), made.dialer.listen(*acceptor));
    const auto& local = layout.host_ranks();
    if (local.size() > 1) {
        std::vector<std::string> names;
        for (const int rank : local) names.push_back(roster.doorbells[rank]);
        made.segment = share_memory(layout, roster, doorbell, names, deadline);
    }
    if (acceptor != nullptr) made.dialer.learn(addresses(store, roster, layout.rank(), deadline), roster);
    Connector connector(layout, roster, acceptor, streams, deadline, made);
    for (const int peer : neighbours(layout, layout.rank()))
        made.links[layout.cell_of(peer)] = connector.link_to(peer);
    return made;
}

}  // namespace ring
