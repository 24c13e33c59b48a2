// See options.h.
#include "options.h"

#include <getopt.h>

#include <stdexcept>

#include "ring/kernels/reduce.h"
#include "sizes.h"

namespace ring_perf {
namespace {

constexpr const char* name_of(Format format) {
    constexpr const char* kNames[] = {"text", "csv", "json"};
    return kNames[static_cast<size_t>(format)];
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

bool in_place(const std::string& text) {
    if (text != "in" && text != "out") refuse('x', text, "in, out");
    return text == "in";
}

}  // namespace

std::string usage() {
    return R"(ring_perf: measures libring's collectives without torch

  -n RANKS       ranks to start on this machine (2). Without it, where RANK, WORLD_SIZE and MASTER_ADDR are set
                 (and MASTER_PORT, else 29500), it is that one rank of a job
  -p RANKS       ranks per host: let them count as several hosts, over TCP (as they are)
  -t COLLECTIVE  all_reduce, reduce, broadcast, all_gather, reduce_scatter, gather, scatter, all_to_all, barrier,
                 send: to the next rank, while it receives from the one before (all_reduce)
  -d DTYPE       float32, bfloat16, int64, ... (float32)
  -o OP          SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR (SUM)
  -r ROOT        of broadcast, reduce, gather, scatter (0)
  -x in|out      in place, or from one tensor to another (in)
  -b SIZE        smallest size in bytes (4)        -e SIZE     largest size (64M)
  -f FACTOR      from one size to the next (4)
  -i COUNT       timed calls per size (20)         -w COUNT    untimed ones before (5)
                 ten times as many of both up to 64 KiB
  -c 0|1         check the results (1)             -T SECONDS  for forming the group, and for each call (60)
  -m FORMAT      text, csv, json (text)

Size and count are those of the larger of input and output, as nccl-tests counts; so are algbw and busbw (GB/s).
Time is from the start of a call to its end, the calls following each other without a barrier: of each rank the
median, the minimum, the 90th percentile, and of these the largest of all ranks. CSV and JSON also have
cpu_s_per_gb, from 1 MiB on: CPU seconds, user and system, of all ranks together, per GB of tensor. Ping-pong is
the one-way time of a cache line between two cores, before the ranks start and after they have ended.
It exits with 1 when something failed or a result was wrong.
)";
}

Options parse(int argc, char** argv) {
    Options options;
    const std::string letters = std::string("n:p:t:d:o:r:x:c:T:m:") + Sweep::kOptions;
    for (int option; (option = ::getopt(argc, argv, letters.c_str())) != -1;) {
        const std::string value = ::optarg == nullptr ? "" : ::optarg;
        if (options.take(option, value)) continue;
        switch (option) {
            case 'n':
                options.ranks = count_value('n', value, 1, 1024);
                break;
            case 'p':
                options.ranks_per_host = count_value('p', value, 1, 1024);
                break;
            case 't':
                options.collective = named('t', value, ring::Collective::kAllReduce, ring::Collective::kRecv);
                break;
            case 'd':
                options.dtype = named('d', value, ring::DType::kUInt8, ring::DType::kCount);
                break;
            case 'o':
                options.op = named('o', value, ring::ReduceOp::kSum, ring::ReduceOp::kCount);
                break;
            case 'r':
                options.root = count_value('r', value, 0, 1 << 20);
                break;
            case 'x':
                options.in_place = in_place(value);
                break;
            case 'c':
                options.check = count_value('c', value, 0, 1) == 1;
                break;
            case 'T':
                options.timeout_s = count_value('T', value, 1, 86'400);
                break;
            case 'm':
                options.format = named('m', value, Format::kText, Format::kCount);
                break;
            default:
                throw std::invalid_argument("wrong options");
        }
    }
    if (::optind < argc) throw std::invalid_argument(std::string("what is '") + argv[::optind] + "'?");
    if (options.min_bytes > options.max_bytes) throw std::invalid_argument("-b is larger than -e");
    if (options.traits().reduces && ring::reduce_function(options.dtype, options.op) == nullptr)
        throw std::invalid_argument(std::string("-o ") + ring::name_of(options.op) + ": not for " +
                                    ring::name_of(options.dtype));
    const ring::CollectiveTraits& traits = options.traits();
    const bool apart = traits.reduces || traits.inputs || traits.outputs || traits.message;
    if (!options.in_place && !apart)
        throw std::invalid_argument(std::string("-x out: ") + ring::name_of(options.collective) +
                                    " has no input apart from its output");
    // These have an output of their own anyway.
    if (traits.counted || traits.message) options.in_place = false;
    return options;
}

}  // namespace ring_perf
