// Values and rows that Python gives by name.
#pragma once

#include <string>

#include "ring/base/error.h"

namespace torch_ring {

// The one of `values` whose name `name` is, by name_value(); throws ConfigError that says which there are.
template <typename Values, typename NameOf>
const auto& named(const std::string& name, const Values& values, const std::string& what, NameOf name_value) {
    std::string allowed;
    for (const auto& one : values) {
        if (name == name_value(one)) return one;
        allowed += (allowed.empty() ? "" : ", ") + std::string(name_value(one));
    }
    throw ring::ConfigError("'" + name + "' is not " + what + "; allowed: " + allowed);
}

template <typename Values>
auto value_named(const std::string& name, const Values& values, const std::string& what) {
    return named(name, values, what, [](const auto& one) { return name_of(one); });
}

template <typename Rows>
const auto& row_named(const std::string& name, const Rows& rows, const std::string& what) {
    return named(name, rows, what, [](const auto& row) { return row.name; });
}

}  // namespace torch_ring
