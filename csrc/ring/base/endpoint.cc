// See endpoint.h.
#include "ring/base/endpoint.h"

#include <algorithm>
#include <charconv>

namespace ring {

std::string describe(const Endpoint& endpoint) {
    return endpoint.address + " port " + std::to_string(endpoint.port);
}

std::string describe(const std::vector<Endpoint>& endpoints) {
    std::string text;
    for (const Endpoint& one : endpoints) text += (text.empty() ? "" : ", ") + describe(one);
    return text;
}

std::optional<uint16_t> parse_port(const std::string& text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

std::optional<Endpoint> parse_endpoint(const std::string& text) {
    std::string host = text;
    std::string port;
    const bool bracketed = text.starts_with('[');
    const size_t close = text.find(']');
    if (bracketed) {
        if (close == std::string::npos) return std::nullopt;
        host = text.substr(1, close - 1);
        port = text.substr(close + 1);
    } else if (std::count(text.begin(), text.end(), ':') == 1) {
        host = text.substr(0, text.find(':'));
        port = text.substr(text.find(':'));
    }
    if (host.empty() || host.find_first_of(" ,[]") != std::string::npos) return std::nullopt;
    if (port.empty()) return Endpoint{host, 0};
    const auto number = port.starts_with(':') ? parse_port(port.substr(1)) : std::nullopt;
    if (!number) return std::nullopt;
    return Endpoint{host, *number};
}

}  // namespace ring
