// Sizes and counts as they are written on a command line, and the options of a sweep over sizes: used by
// ring_perf and by the programs of csrc/bench/peers.
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

// Which sizes are measured, and how often each: -b -e -f -i -w.
struct Sweep {
    size_t min_bytes = 4;
    size_t max_bytes = 64 << 20;
    size_t factor = 4;
    int calls = 20;
    int warmup = 5;

    static constexpr const char* kOptions = "b:e:f:i:w:";

    // Takes an option that getopt found; false if it is none of these.
    bool take(int option, const std::string& value) {
        switch (option) {
            case 'b':
                min_bytes = size_value('b', value);
                return true;
            case 'e':
                max_bytes = size_value('e', value);
                return true;
            case 'f':
                factor = static_cast<size_t>(count_value('f', value, 2, 1024));
                return true;
            case 'i':
                calls = count_value('i', value, 1, 1'000'000);
                return true;
            case 'w':
                warmup = count_value('w', value, 0, 1'000'000);
                return true;
            default:
                return false;
        }
    }
};

}  // namespace ring_perf
