// Tables with one row for each value of an enumeration, which stand where the value says.
#pragma once

#include <algorithm>
#include <cstddef>

namespace ring {

// Whether each row is at the place that its value, `of` the row, has as a number.
template <typename Rows, typename Of>
constexpr bool in_order(const Rows& rows, Of of) {
    return std::ranges::all_of(rows, [&](const auto& row) {
        return static_cast<size_t>(row.*of) == static_cast<size_t>(&row - rows.data());
    });
}

}  // namespace ring
