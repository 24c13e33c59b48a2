// One connection that is being opened, from its first packet to the peer's proof: what a Connecting
// (connecting.h) makes of each address that it tries.
#pragma once

#include <optional>
#include <string>

#include "ring/base/endpoint.h"
#include "ring/base/fd.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {

// What became of an attempt that failed.
struct Setback {
    // Whether trying the same again may end differently.
    enum class Kind {
        kTransient,    // the peer was there, and closed or said something wrong
        kRefused,      // nobody listens there
        kSilent,       // nobody answers
        kUnreachable,  // there is no way from here to there
        kLeft,         // the peer is there, and has left the group
        kLocal,        // this process cannot even try: out of ports, or of descriptors
    };
    Kind kind = Kind::kTransient;
    std::string text;  // "Connection refused: nobody listens there"
};

// Not thread-safe.
class Attempt {
  public:
    // `hello`: without version and nonce, which each attempt draws anew.
    Attempt(const std::string& from, const Endpoint& to, const Hello& hello, const std::string& secret);

    enum class Stage {
        kOpening,  // nobody knows yet who is there
        kProven,   // the peer is, and shall be answered(): it has not put the connection to use yet
        kAnswered,
        kDone,  // both sides have proven themselves
        kFailed,
    };
    // Goes on as far as it can without waiting.
    Stage advance();
    // The connection shall be used: proves itself to the peer. After kProven only.
    void answer();

    int fd() const { return socket_.get(); }  // -1 where it failed at once
    UniqueFd take() { return std::move(socket_); }
    // After kFailed, why; before, what can be said of the silence so far.
    Setback setback() const;

  private:
    enum class State { kConnecting, kHello, kChallenge, kProven, kProof, kWelcome, kDone, kFailed };

    bool step();  // false: nothing can be done now
    bool write(const void* data, size_t bytes);
    bool read(void* data, size_t bytes);
    void fail(Setback why);

    std::string secret_;
    std::string from_;
    Hello hello_;
    UniqueFd socket_;
    State state_ = State::kConnecting;
    size_t moved_ = 0;  // of what the state reads or writes
    Challenge challenge_;
    Digest answer_{};
    uint32_t welcome_ = 0;
    Setback setback_;
};

}  // namespace ring
