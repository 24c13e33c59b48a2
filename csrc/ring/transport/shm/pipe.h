// A pipe between two ranks of one host: the two channels between them in the group's segment.
#pragma once

#include "ring/transport/pipe.h"
#include "ring/transport/shm/segment.h"

namespace ring {

class ShmPipe : public Pipe {
  public:
    // `peer` is a local rank. The segment must outlive the pipe.
    ShmPipe(Segment& segment, int peer)
        : segment_(segment),
          peer_(peer),
          out_(segment.channel(segment.local_rank(), peer)),
          in_(segment.channel(peer, segment.local_rank())) {}

    size_t write(const iovec* pieces, int count) override;
    size_t read(const iovec* pieces, int count) override;

  private:
    Segment& segment_;
    int peer_;
    Channel& out_;
    Channel& in_;
};

}  // namespace ring
