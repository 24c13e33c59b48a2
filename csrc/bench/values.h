// Values as they are written on a command line, and the options of a sweep over sizes: used by ring_perf and
// by the programs of csrc/bench/peers.
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

// One of an enumeration whose names name_of() gives.
template <typename Enum>
Enum named(char option, const std::string& text, Enum first, Enum end) {
    std::string names;
    for (auto i = static_cast<int>(first); i < static_cast<int>(end); ++i) {
        if (text == name_of(static_cast<Enum>(i))) return static_cast<Enum>(i);
        names += (names.empty() ? "" : ", ") + std::string(name_of(static_cast<Enum>(i)));
    }
    refuse(option, text, names);
}

// Which sizes are measured, how often each, and whether the results are checked: -b -e -f -i -w -c.
struct Sweep {
    size_t min_bytes = 4;
    size_t max_bytes = 64 << 20;
    size_t factor = 4;
    int calls = 20;
    int warmup = 5;
    bool check_results = true;

    static constexpr const char* kOptions = "b:e:f:i:w:c:";

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
            case 'c':
                check_results = count_value('c', value, 0, 1) == 1;
                return true;
            default:
                return false;
        }
    }
    // Throws std::invalid_argument where the options make no sense together.
    void check() const {
        if (min_bytes > max_bytes) throw std::invalid_argument("-b is larger than -e");
    }
};

}  // namespace ring_perf
