// Where a rank can be called: a numeric address and a port. Read by all that publish, try or name one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ring {

struct Endpoint {
    std::string address;  // "10.0.0.3", "fd00::3", "fe80::3%eth0"; a name where a user wrote one
    uint16_t port = 0;    // 0: not said

    bool operator==(const Endpoint&) const = default;
};

// For messages: "10.0.0.3 port 40000", and several of them with commas between.
std::string describe(const Endpoint& endpoint);
std::string describe(const std::vector<Endpoint>& endpoints);

// As users write them: "host", "host:port", "fd00::3", "[fd00::3]:port"; none where it is nothing of these.
std::optional<Endpoint> parse_endpoint(const std::string& text);

// A whole number from 1 to 65535.
std::optional<uint16_t> parse_port(const std::string& text);

}  // namespace ring
