// See options.h.
#include "options.h"

#include <getopt.h>

#include <stdexcept>

namespace ring_perf {

// For named(), which finds it by the type.
constexpr const char* name_of(Format format) {
    constexpr const char* kNames[] = {"text", "csv", "json"};
    return kNames[static_cast<size_t>(format)];
}

std::string usage() {
    return std::string(R"(ring_perf: measures libring's collectives without torch

  -n RANKS       ranks to start on this machine (2). Without it, where RANK, WORLD_SIZE and MASTER_ADDR are set
                 (and MASTER_PORT, else 29500), it is that one rank of a job
  -p RANKS       ranks per host: let them count as several hosts, over TCP (as they are)
  -t COLLECTIVE  )") +
           measured_names("\n                 ") + R"( (all_reduce)
                 send: to the next rank, while it receives from the one before;
                 memcpy: no collective, all ranks copy a tensor at the same time
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
the mean, and cpu_s_per_gb, from 1 MiB on: CPU seconds, user and system, of all ranks together, per GB of tensor.
A barrier precedes each memcpy, and is not counted. Ping-pong is the one-way time of a cache line between two
cores, before the ranks start and after they have ended.
It exits with 1 when something failed or a result was wrong.
)";
}

Options parse(int argc, char** argv) {
    Options options;
    const std::string letters = std::string("n:p:T:m:") + Sweep::kOptions + Subject::kOptions;
    for (int option; (option = ::getopt(argc, argv, letters.c_str())) != -1;) {
        const std::string value = ::optarg == nullptr ? "" : ::optarg;
        if (options.Sweep::take(option, value) || options.Subject::take(option, value)) continue;
        switch (option) {
            case 'n':
                options.ranks = count_value('n', value, 1, 1024);
                break;
            case 'p':
                options.ranks_per_host = count_value('p', value, 1, 1024);
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
    options.Sweep::check();
    options.Subject::check();
    return options;
}

}  // namespace ring_perf
