// The algorithms by which the ranks of one rail, one of each host, run a collective between them. Named by
// the collectives' rows (collective.h), costed by the cost model, written in csrc/ring/collectives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ring {

enum class RailAlgorithm : uint8_t {
    kRing,             // each to its neighbour, chunk by chunk
    kDoubling,         // recursive doubling: log2 H exchanges with partners ever further away
    kHalvingDoubling,  // Rabenseifner's all_reduce; its first half for reduce_scatter
    kTree,             // binomial tree
    kCount,
};

// As size tables and users write them.
inline constexpr std::array<const char*, static_cast<size_t>(RailAlgorithm::kCount)> kRailAlgorithms{
    "ring", "doubling", "halving_doubling", "tree"};

constexpr const char* name_of(RailAlgorithm algorithm) {
    return kRailAlgorithms[static_cast<size_t>(algorithm)];
}

}  // namespace ring
