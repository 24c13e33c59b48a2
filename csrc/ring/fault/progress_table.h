// Which operation each rank is known to have called, so that a timeout can name who is missing.
//
// A rank that has waited for a while tells its neighbours on other hosts how far it is, and passes on what it
// hears; the ranks of one host share one table in their segment. Only growth is sent, so the gossip dies down
// by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ring/fault/control.h"
#include "ring/transport/shm/segment.h"

namespace ring {

class ProgressTable {
  public:
    ProgressTable(int size, Segment* segment)
        : segment_(segment), own_(segment == nullptr ? size : 0), sent_(size) {}

    void note(int rank, uint64_t operation);
    uint64_t called(int rank) const;
    // Sends what has grown since the last call to all neighbours.
    void share(const std::vector<std::unique_ptr<Control>>& controls);
    // The ranks that are not known to have called this operation.
    std::vector<int> missing(uint64_t operation) const;

  private:
    Segment* segment_;
    std::vector<uint64_t> own_;  // without a segment
    std::vector<uint64_t> sent_;
};

}  // namespace ring
