// The first bytes on every connection: both ends prove that they know the group's secret, before anything
// else is read.
//
//   client -> server  Hello      who I am, what this connection is for, a nonce
//   server -> client  Challenge  another nonce, and HMAC(secret, "server", hello, nonce)
//   client -> server  Proof      HMAC(secret, "client", hello, nonce)
//   server -> client  Welcome    the connection is in use
//
// HMAC-SHA-256 by OpenSSL; both nonces enter both proofs, so that neither can be replayed or reflected.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "ring/transport/fabric.h"

namespace ring {

using Nonce = std::array<uint8_t, 16>;
using Digest = std::array<uint8_t, 32>;

constexpr uint32_t kHelloMagic = 0x4f4c4852;    // "RHLO"
constexpr uint32_t kWelcomeMagic = 0x4c455752;  // "RWEL"

struct Hello {
    uint32_t magic = kHelloMagic;
    uint16_t version = 0;
    Purpose purpose = Purpose::kData;
    uint8_t stream = 0;  // which of the data connections of an edge
    uint64_t group = 0;
    int32_t from = 0;
    int32_t to = 0;
    Nonce nonce{};
};
static_assert(sizeof(Hello) == 40);

struct Challenge {
    Nonce nonce{};
    Digest proof{};
};
static_assert(sizeof(Challenge) == 48);

// Instead of a nonce, with an empty proof: the server has no descriptor left for this connection.
constexpr Nonce kNoDescriptors = {'n', 'o', ' ', 'd', 'e', 's', 'c', 'r',
                                  'i', 'p', 't', 'o', 'r', 's', '.', '.'};

// Likewise, with a proof: the rank has left the group in good order.
constexpr Nonce kLeftGroup = {'l', 'e', 'f', 't', ' ', 't', 'h', 'e', ' ', 'g', 'r', 'o', 'u', 'p', '.', '.'};

Nonce random_nonce();
std::string random_secret();

// A short fingerprint of a secret, by which ranks find out that theirs differ.
std::string fingerprint(const std::string& secret);

Digest server_proof(const std::string& secret, const Hello& hello, const Nonce& nonce);
Digest client_proof(const std::string& secret, const Hello& hello, const Nonce& nonce);
bool equal_in_constant_time(const Digest& a, const Digest& b);

// For the client: why the server is not to be talked to; "" where it knows the secret.
std::string refusal(const Challenge& challenge, const std::string& secret, const Hello& hello);

}  // namespace ring
