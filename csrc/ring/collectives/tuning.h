// Which way an operation runs between the hosts: what the cost model chooses, or the user fixed.
//
// Made once per group, of the same machine on all its ranks; the engine asks it for each operation.
#pragma once

#include <cstddef>
#include <string>

#include "ring/base/signature.h"
#include "ring/topology/choices.h"
#include "ring/topology/layout.h"

namespace ring {

// Immutable, so thread-safe.
class Tuning {
  public:
    Tuning(const Layout& layout, Choices choices);

    // For an operation of the group. Its chunk_bytes are a multiple of every element's size.
    const Plan& plan(const Signature& signature) const;
    // Whether large shares of gather and scatter go through carriers (transfers.h).
    bool carry_large() const { return choices_.carry_large(); }
    // The choices by size, for the log.
    std::string text() const { return choices_.text(); }

  private:
    size_t ranks_;
    Choices choices_;
};

}  // namespace ring
