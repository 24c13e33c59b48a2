// See choices.h. The plan is worked out at every power of two and at the ends of the table's ranges; where
// two neighbours differ, bisection finds the sizes between them at which it changes.
#include "ring/topology/choices.h"

#include <algorithm>
#include <cstdio>

namespace ring {
namespace {

constexpr size_t kLargestSize = size_t{1} << 40;  // larger ones are treated like it

// Some Gigabit Ethernet; whatever is faster may be as fast as what one core copies and sends.
constexpr double kSlowLink = 8 / 1.5e9;  // seconds per byte

// Bisection ends at this part of the size.
constexpr size_t kGrain = 32;

std::vector<size_t> sample_sizes(const std::vector<SizeTable::Rule>& rules) {
    std::vector<size_t> sizes{0};
    for (size_t bytes = 1; bytes <= kLargestSize; bytes *= 2) sizes.push_back(bytes);
    for (const SizeTable::Rule& rule : rules)
        for (const size_t edge : {rule.from, rule.to})
            if (edge > 0 && edge != SizeTable::kNoEnd) sizes.insert(sizes.end(), {edge - 1, edge});
    std::ranges::sort(sizes);
    const auto repeated = std::ranges::unique(sizes);
    sizes.erase(repeated.begin(), repeated.end());
    return sizes;
}

// Appends the ranges that begin after `low` and not after `high`.
template <typename PlanAt>
void refine(const Choices::Range& low, const Choices::Range& high, const PlanAt& plan_at,
            std::vector<Choices::Range>& ranges) {
    if (low.plan == high.plan) return;
    if (high.from - low.from <= std::max<size_t>(1, low.from / kGrain)) {
        ranges.push_back(high);
        return;
    }
    const size_t size = low.from + (high.from - low.from) / 2;
    const Choices::Range middle{size, plan_at(size)};
    refine(low, middle, plan_at, ranges);
    refine(middle, high, plan_at, ranges);
}

}  // namespace

Choices::Choices(const Shape& shape, const Machine& machine, const SizeTable& table)
    : carry_large_(shape.hosts > 1 && machine.link.seconds_per_byte >= kSlowLink) {
    for (const Collective kind : kPlanned) {
        const auto plan_at = [&](size_t bytes) {
            return choose(kind, bytes, shape, machine, table.lookup(kind, bytes)).plan;
        };
        std::vector<Range>& ranges = ranges_[static_cast<size_t>(kind)];
        Range last{0, plan_at(0)};
        ranges.push_back(last);
        // A barrier has no size.
        if (!traits_of(kind).sized) continue;
        for (const size_t size : sample_sizes(table.rules(kind))) {
            const Range next{size, plan_at(size)};
            refine(last, next, plan_at, ranges);
            last = next;
        }
    }
}

const Plan& Choices::of(Collective kind, size_t bytes) const {
    return std::prev(std::ranges::upper_bound(ranges(kind), bytes, {}, &Range::from))->plan;
}

std::string Choices::text() const {
    std::string text;
    for (const Collective kind : kPlanned) {
        const std::vector<Range>& all = ranges(kind);
        for (size_t i = 0; i < all.size(); ++i)
            text += std::string(name_of(kind)) + ": " + size_text(all[i].from) + "-" +
                    (i + 1 < all.size() ? size_text(all[i + 1].from) : "") + " " + describe(all[i].plan) +
                    "\n";
    }
    text += std::string("gather, scatter: large shares ") +
            (carry_large_ ? "through one rank of each host" : "straight from rank to rank") + "\n";
    return text;
}

std::string describe(const Plan& plan) {
    const auto count = [](int number, const char* what) {
        return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
    };
    return std::string(name_of(plan.algorithm)) + " chunk=" + size_text(plan.chunk_bytes) +
           " streams=" + std::to_string(plan.streams) + ", " + count(plan.rails, "rail") + ", " +
           count(plan.pieces, "piece");
}

std::string describe(const LinkCost& link) {
    char text[64];
    std::snprintf(text, sizeof(text), "%.3g Gbit/s, %.3g us", 8e-9 / link.seconds_per_byte,
                  link.latency_s * 1e6);
    return text;
}

}  // namespace ring
