// The fabric between hosts: TCP connections, called by the dialer and accepted by the acceptor of this
// process.
//
// Made when a group forms, and kept with its connections (connections.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ring/engine/dialer.h"
#include "ring/transport/fabric.h"
#include "ring/transport/tcp/acceptor.h"

namespace ring {

class TcpFabric : public Fabric {
  public:
    // `acceptor`, which must outlive it, takes connections for the dialer's rank in this group from now on,
    // from those that know the secret.
    TcpFabric(Acceptor& acceptor, Dialer dialer, uint64_t group, std::string secret);
    ~TcpFabric() override;

    // As Dialer says.
    std::vector<Endpoint> listen() { return dialer_.listen(acceptor_); }
    void learn(std::vector<std::vector<Endpoint>> addresses) { dialer_.learn(std::move(addresses)); }

    // Those on other hosts.
    bool viable(int peer) const override;
    std::unique_ptr<Call> call(int peer, Use use, Deadline deadline, Watch watch) override;
    std::vector<Accepted> accept(Purpose purpose) override;
    void watch(std::function<void()> arrived) override;
    std::string absence() const override;
    std::string trouble() const override { return acceptor_.trouble(); }
    void leave() override { acceptor_.leave(group_, dialer_.self()); }

  private:
    Acceptor& acceptor_;
    Dialer dialer_;
    const uint64_t group_;
    const std::string secret_;
};

}  // namespace ring
