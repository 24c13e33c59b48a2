// Names of sockets in the abstract namespace: nothing in the file system, nothing to leak.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "ring/base/hex.h"
#include "ring/base/random.h"

namespace ring {

struct AbstractAddress {
    sockaddr_un un{};
    socklen_t length;

    explicit AbstractAddress(const std::string& name) {
        un.sun_family = AF_UNIX;
        // sun_path[0] stays 0: the abstract namespace.
        const size_t bytes = std::min(name.size(), sizeof(un.sun_path) - 1);
        std::memcpy(un.sun_path + 1, name.data(), bytes);
        length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + bytes);
    }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&un); }
};

// "torch_ring.KIND.HEX", or without a kind. Throws Error.
inline std::string random_name(const std::string& kind = "") {
    char bytes[16];
    fill_random(bytes, sizeof(bytes));
    return "torch_ring." + (kind.empty() ? "" : kind + ".") + hex({bytes, sizeof(bytes)});
}

}  // namespace ring
