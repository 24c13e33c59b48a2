// A pipe over one TCP connection.
#pragma once

#include "ring/base/fd.h"
#include "ring/transport/pipe.h"
#include "ring/transport/tcp/congestion.h"

namespace ring {

class TcpPipe : public Pipe {
  public:
    explicit TcpPipe(UniqueFd socket) : socket_(std::move(socket)) {}

    int fd() const override { return socket_.get(); }
    size_t write(const iovec* pieces, int count) override;
    size_t read(const iovec* pieces, int count) override;
    bool ready(bool) const override { return false; }
    bool pending() const override;

  private:
    UniqueFd socket_;
    CongestionWatch congestion_;
};

}  // namespace ring
