// A pipe between two ranks of one host: two channels between them in the group's segment, those of the links
// or those of the mailboxes.
#pragma once

#include "ring/transport/pipe.h"
#include "ring/transport/shm/segment.h"

namespace ring {

class ShmPipe : public Pipe {
  public:
    // `peer` is a local rank. The segment must outlive the pipe.
    ShmPipe(Segment& segment, int peer, ChannelUse use)
        : segment_(segment),
          peer_(peer),
          out_(segment.channel(use, segment.local_rank(), peer)),
          in_(segment.channel(use, peer, segment.local_rank())) {}

    size_t write(const iovec* pieces, int count) override;
    size_t read(const iovec* pieces, int count) override;
    int fd() const override { return -1; }
    bool ready(bool write) const override;
    bool pending() const override { return false; }  // the memory stays

  private:
    Segment& segment_;
    int peer_;
    Channel& out_;
    Channel& in_;
    uint64_t read_ = 0;  // of out_, as this rank saw it last
};

}  // namespace ring
