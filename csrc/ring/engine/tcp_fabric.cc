// See tcp_fabric.h.
#include "ring/engine/tcp_fabric.h"

#include "ring/transport/tcp/connecting.h"
#include "ring/transport/tcp/pipe.h"

namespace ring {
namespace {

class TcpCall : public Call {
  public:
    TcpCall(Dialer& dialer, int peer, Connecting connecting)
        : dialer_(dialer), peer_(peer), connecting_(std::move(connecting)) {}

    std::unique_ptr<Pipe> advance() override {
        if (!connecting_.advance()) return nullptr;
        dialer_.remember(peer_, connecting_.reached());
        return std::make_unique<TcpPipe>(connecting_.take());
    }
    Clock::time_point next() const override { return connecting_.next(); }

  private:
    Dialer& dialer_;
    const int peer_;
    Connecting connecting_;
};

}  // namespace

TcpFabric::TcpFabric(Acceptor& acceptor, Dialer dialer, uint64_t group, std::string secret)
    : acceptor_(acceptor), dialer_(std::move(dialer)), group_(group), secret_(std::move(secret)) {
    acceptor_.expect(group_, dialer_.self(), secret_);
}

TcpFabric::~TcpFabric() {
    acceptor_.forget(group_, dialer_.self());
}

bool TcpFabric::viable(int peer) const {
    return dialer_.station(peer).host != dialer_.station(dialer_.self()).host;
}

std::unique_ptr<Call> TcpFabric::call(int peer, Use use, Deadline deadline, Watch watch) {
    const Hello hello{.purpose = use.purpose,
                      .stream = static_cast<uint8_t>(use.stream),
                      .group = group_,
                      .from = dialer_.self(),
                      .to = peer};
    return std::make_unique<TcpCall>(dialer_, peer,
                                     Connecting(dialer_.station(peer).name, dialer_.routes(peer), hello,
                                                secret_, deadline, std::move(watch)));
}

std::vector<Fabric::Accepted> TcpFabric::accept(Purpose purpose) {
    std::vector<Accepted> accepted;
    for (auto& [from, stream, socket] : acceptor_.collect(group_, dialer_.self(), purpose))
        accepted.push_back({from, stream, std::make_unique<TcpPipe>(std::move(socket))});
    return accepted;
}

void TcpFabric::watch(std::function<void()> arrived) {
    acceptor_.watch(group_, dialer_.self(), std::move(arrived));
}

std::string TcpFabric::absence() const {
    return "nobody came for it to " + describe(acceptor_.endpoints()) +
           "; is it alive, can it reach one of these, and does every firewall between let it through? "
           "TORCH_RING_PORT_RANGE says which ports they may be" +
           acceptor_.trouble();
}

}  // namespace ring
