// Lists of ranks as short text: groups have ranks in a row, or every eighth one, far more often than any
// others. Used for what ranks tell of their group in the store.
#pragma once

#include <string>
#include <vector>

namespace ring {

// "0-7" for eight ranks in a row, "3-4091/8" for every eighth from 3 to 4091, "5" for one; with commas
// between several, in the order of the list. "" for none.
std::string encode_runs(const std::vector<int>& ranks);

// Throws Error where that makes no sense, or would be more than `most` ranks.
std::vector<int> decode_runs(const std::string& text, size_t most);

}  // namespace ring
