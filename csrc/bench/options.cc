// See options.h.
#include "options.h"

#include <getopt.h>

#include <charconv>
#include <stdexcept>

namespace ring_perf {
namespace {

[[noreturn]] void refuse(char option, const std::string& value, const std::string& allowed) {
    throw std::invalid_argument(std::string("-") + option + " " + value + ": allowed are " + allowed);
}

// A number with an optional K, M or G.
size_t size_value(char option, const std::string& text) {
    size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string suffix(end, text.data() + text.size());
    size_t unit = 1;
    if (suffix == "K" || suffix == "k") unit = size_t{1} << 10;
    if (suffix == "M" || suffix == "m") unit = size_t{1} << 20;
    if (suffix == "G" || suffix == "g") unit = size_t{1} << 30;
    if (error != std::errc() || (unit == 1 && !suffix.empty()))
        refuse(option, text, "sizes such as 4, 64K, 16M, 1G");
    return value * unit;
}

int count_value(char option, const std::string& text, int low, int high) {
    const size_t value = size_value(option, text);
    if (value < static_cast<size_t>(low) || value > static_cast<size_t>(high))
        refuse(option, text, std::to_string(low) + " .. " + std::to_string(high));
    return static_cast<int>(value);
}

// The value of an enumeration whose names name_of() gives.
template <typename Enum>
Enum named(char option, const std::string& text, Enum first, Enum end) {
    std::string names;
    for (auto i = static_cast<int>(first); i < static_cast<int>(end); ++i) {
        if (text == name_of(static_cast<Enum>(i))) return static_cast<Enum>(i);
        names += (names.empty() ? "" : ", ") + std::string(name_of(static_cast<Enum>(i)));
    }
    refuse(option, text, names);
}

}  // namespace

std::string usage() {
    return "ring_perf: measures libring's collectives without torch\n"
           "  -n RANKS       ranks to start on this machine (2)\n"
           "  -p RANKS       ranks per host: let them count as several hosts, over TCP on loopback (all on "
           "one host)\n"
           "  -t COLLECTIVE  all_reduce, broadcast, all_gather, reduce_scatter, barrier (all_reduce)\n"
           "  -d DTYPE       float32, bfloat16, int64, ... (float32)\n"
           "  -o OP          SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR (SUM)\n"
           "  -b SIZE        smallest size in bytes (4)        -e SIZE  largest size (64M)\n"
           "  -f FACTOR      from one size to the next (4)\n"
           "  -i COUNT       timed calls per size (20)         -w COUNT  untimed ones before (5)\n"
           "  -c 0|1         check the results (1)\n";
}

Options parse(int argc, char** argv) {
    Options options;
    for (int option; (option = ::getopt(argc, argv, "n:p:t:d:o:b:e:f:i:w:c:")) != -1;) {
        const std::string value = ::optarg == nullptr ? "" : ::optarg;
        switch (option) {
            case 'n':
                options.ranks = count_value('n', value, 1, 1024);
                break;
            case 'p':
                options.ranks_per_host = count_value('p', value, 1, 1024);
                break;
            case 't':
                options.collective =
                    named('t', value, ring::Collective::kAllReduce, ring::Collective::kCount);
                break;
            case 'd':
                options.dtype = named('d', value, ring::DType::kUInt8, ring::DType::kCount);
                break;
            case 'o':
                options.op = named('o', value, ring::ReduceOp::kSum, ring::ReduceOp::kCount);
                break;
            case 'b':
                options.min_bytes = size_value('b', value);
                break;
            case 'e':
                options.max_bytes = size_value('e', value);
                break;
            case 'f':
                options.factor = static_cast<size_t>(count_value('f', value, 2, 1024));
                break;
            case 'i':
                options.iterations = count_value('i', value, 1, 1'000'000);
                break;
            case 'w':
                options.warmup = count_value('w', value, 0, 1'000'000);
                break;
            case 'c':
                options.check = count_value('c', value, 0, 1) == 1;
                break;
            default:
                throw std::invalid_argument("see above");
        }
    }
    if (::optind < argc) throw std::invalid_argument(std::string("what is '") + argv[::optind] + "'?");
    if (options.min_bytes > options.max_bytes) throw std::invalid_argument("-b is larger than -e");
    return options;
}

}  // namespace ring_perf
