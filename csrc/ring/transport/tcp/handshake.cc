// See handshake.h.
#include "ring/transport/tcp/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>
#include <string_view>

#include "ring/base/error.h"
#include "ring/base/random.h"

namespace ring {
namespace {

Digest hmac(const std::string& secret, const std::string& message) {
    Digest digest;
    unsigned int length = 0;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest.data(),
             &length) == nullptr ||
        length != digest.size())
        throw Error("OpenSSL cannot compute HMAC-SHA-256");
    return digest;
}

Digest proof(std::string_view side, const std::string& secret, const Hello& hello, const Nonce& nonce) {
    std::string message(side);
    message.append(reinterpret_cast<const char*>(&hello), sizeof(hello));
    message.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
    return hmac(secret, message);
}

}  // namespace

Nonce random_nonce() {
    Nonce nonce;
    fill_random(nonce.data(), nonce.size());
    return nonce;
}

std::string random_secret() {
    std::string secret(32, '\0');
    fill_random(secret.data(), secret.size());
    return secret;
}

std::string fingerprint(const std::string& secret) {
    const Digest digest = hmac(secret, "fingerprint");
    return {reinterpret_cast<const char*>(digest.data()), 8};
}

Digest server_proof(const std::string& secret, const Hello& hello, const Nonce& nonce) {
    return proof("server", secret, hello, nonce);
}

Digest client_proof(const std::string& secret, const Hello& hello, const Nonce& nonce) {
    return proof("client", secret, hello, nonce);
}

bool equal_in_constant_time(const Digest& a, const Digest& b) {
    return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string refusal(const Challenge& challenge, const std::string& secret, const Hello& hello) {
    if (equal_in_constant_time(challenge.proof, server_proof(secret, hello, challenge.nonce))) return "";
    if (challenge.nonce == kNoDescriptors)
        return "its process is out of descriptors and cannot take the connection: raise RLIMIT_NOFILE "
               "(ulimit -n) there";
    return "whoever listens there does not know the secret of this job";
}

}  // namespace ring
