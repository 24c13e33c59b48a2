// The interface of a transport: an ordered, reliable byte stream to one peer that never blocks.
//
// Implemented by tcp/pipe and shm/pipe; tests/cpp/transport/pipe_test.cc is the conformance suite that each
// of them must pass.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <string>

#include "ring/base/error.h"

namespace ring {

// The other end is gone: closed, reset, or unreachable.
class PeerGone : public Error {
  public:
    using Error::Error;
};

// It closed the stream in good order: all that it ever wrote to this one has been read.
class PeerClosed : public PeerGone {
  public:
    using PeerGone::PeerGone;
};

// Used by one thread at a time (the one that drives the group).
class Pipe {
  public:
    virtual ~Pipe() = default;
    // Moves as many bytes as fit now; 0 if none. Throw PeerGone when no byte can move any more;
    // read() PeerClosed where it can tell that nothing was lost.
    virtual size_t write(const iovec* pieces, int count) = 0;
    virtual size_t read(const iovec* pieces, int count) = 0;
    // Its events tell that one of them may move something again; -1 where only ready() does.
    virtual int fd() const = 0;
    // Whether one of them would move something now, where that can be told without a system call; else false,
    // and the kernel wakes who waits. `write`: there is something to write.
    virtual bool ready(bool write) const = 0;
    // Whether the peer may still lack something that was written. Closing then could lose it: where something
    // unread has come meanwhile, the kernel resets a connection and drops what it has not sent yet.
    virtual bool pending() const = 0;
};

}  // namespace ring
