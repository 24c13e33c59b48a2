// Sizes and counts as they are written on a command line: used by ring_perf and by the programs of
// csrc/bench/peers.
#pragma once

#include <charconv>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace ring_perf {

[[noreturn]] inline void refuse(char option, const std::string& value, const std::string& allowed) {
    throw std::invalid_argument(std::string("-") + option + " " + value + ": allowed are " + allowed);
}

// A number with an optional K, M or G. Throws std::invalid_argument that names the option.
inline size_t size_value(char option, const std::string& text) {
    size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string suffix(end, text.data() + text.size());
    int shift = 0;
    if (suffix == "K" || suffix == "k") shift = 10;
    if (suffix == "M" || suffix == "m") shift = 20;
    if (suffix == "G" || suffix == "g") shift = 30;
    if (error != std::errc() || (shift == 0 && !suffix.empty()) || value > (~size_t{0} >> shift))
        refuse(option, text, "sizes such as 4, 64K, 16M, 1G");
    return value << shift;
}

inline int count_value(char option, const std::string& text, int low, int high) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
        refuse(option, text, std::to_string(low) + " .. " + std::to_string(high));
    return value;
}

}  // namespace ring_perf
