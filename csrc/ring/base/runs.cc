// See runs.h.
#include "ring/base/runs.h"

#include <charconv>

#include "ring/base/error.h"

namespace ring {
namespace {

// Shorter ones take no less room as a run than one by one.
constexpr size_t kShortest = 3;

// How many ranks from `begin` on have one distance, which must be upwards.
size_t run_length(const std::vector<int>& ranks, size_t begin) {
    size_t end = begin + 1;
    while (end < ranks.size() && ranks[end] > ranks[end - 1] &&
           (end == begin + 1 || ranks[end] - ranks[end - 1] == ranks[begin + 1] - ranks[begin]))
        ++end;
    return end - begin;
}

}  // namespace

std::string encode_runs(const std::vector<int>& ranks) {
    std::string text;
    for (size_t at = 0; at < ranks.size();) {
        const size_t length = run_length(ranks, at);
        if (!text.empty()) text += ",";
        text += std::to_string(ranks[at]);
        if (length < kShortest) {
            ++at;
            continue;
        }
        const int step = ranks[at + 1] - ranks[at];
        text += "-" + std::to_string(ranks[at + length - 1]);
        if (step != 1) text += "/" + std::to_string(step);
        at += length;
    }
    return text;
}

std::vector<int> decode_runs(const std::string& text, size_t most) {
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto refuse = [&] { throw Error("not a list of ranks: '" + text.substr(0, 80) + "'"); };
    const auto number = [&] {
        int value = 0;
        const auto [next, error] = std::from_chars(at, end, value);
        if (error != std::errc() || value < 0) refuse();
        at = next;
        return value;
    };
    const auto skip = [&](char expected) { return at != end && *at == expected && (++at, true); };
    std::vector<int> ranks;
    while (at != end) {
        const int first = number();
        const int last = skip('-') ? number() : first;
        const int step = skip('/') ? number() : 1;
        if (last < first || step == 0) refuse();
        for (long long rank = first; rank <= last; rank += step) {
            if (ranks.size() == most) refuse();
            ranks.push_back(static_cast<int>(rank));
        }
        if (at != end && (!skip(',') || at == end)) refuse();
    }
    return ranks;
}

}  // namespace ring
