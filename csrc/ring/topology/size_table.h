// The size table: by collective and size, what the user wants instead of what the cost model would choose.
//
//   all_reduce: 0-8K doubling, 8K-1M ring chunk=64K, 1M- ring chunk=256K streams=2; broadcast: 0- tree
//
// A range a-b holds the sizes from a up to, not including, b; without b, all from a on. K, M and G are powers
// of 1024. Sizes are those of cost_model.h. Where no range holds a size the model chooses. Parsed once per
// group from the setting; immutable after that, so thread-safe.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "ring/topology/cost_model.h"

namespace ring {

class SizeTable {
  public:
    struct Rule {
        size_t from;
        size_t to;  // exclusive; kNoEnd = no end
        Override fixed;
    };
    static constexpr size_t kNoEnd = SIZE_MAX;

    SizeTable() = default;  // fixes nothing
    // Throws ConfigError that names the position in the text, the wrong word and what is allowed there.
    explicit SizeTable(std::string_view text);

    // Empty where no rule holds the size.
    Override lookup(Collective kind, size_t bytes) const;
    // By size; ranges do not overlap.
    const std::vector<Rule>& rules(Collective kind) const { return rules_[static_cast<size_t>(kind)]; }

  private:
    std::array<std::vector<Rule>, kCollectives.size()> rules_;
};

// "8K", "1120K", "2112", "4M": exact, as a size table has it.
std::string size_text(size_t bytes);

}  // namespace ring
