// The sockets on which a process listens: one per address, all on one port where the kernel lets them.
#pragma once

#include <string>
#include <vector>

#include "ring/base/config.h"
#include "ring/base/endpoint.h"
#include "ring/base/fd.h"

namespace ring {

// Not thread-safe.
class Listeners {
  public:
    explicit Listeners(const PortRange& ports) : ports_(ports) {}

    struct Listener {
        Endpoint at;
        UniqueFd socket;
    };

    // Listens on these numeric addresses too, as far as it does not yet; returns those that are new. An
    // address that has gone meanwhile, or cannot be used yet, is left out. Throws Error where none is left,
    // or no port is free on them.
    std::vector<const Listener*> add(const std::vector<std::string>& addresses);

    // Where `address` is listened on; null: it is not.
    const Listener* find(const std::string& address) const;
    std::vector<Endpoint> endpoints() const;
    const std::vector<Listener>& all() const { return all_; }

  private:
    std::vector<uint16_t> ports_to_try() const;
    // False where the port is in use on one of them. Takes what cannot be listened on out of `addresses`.
    bool listen(std::vector<std::string>& addresses, uint16_t port, std::vector<Listener>& made);

    PortRange ports_;
    std::vector<Listener> all_;
    std::string refusal_;  // the last address that the kernel refused, and why
};

}  // namespace ring
