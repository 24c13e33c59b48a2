// What a collective costs on given machines, and so which way to run it: the algorithm between hosts, the
// chunk size, the number of streams, of rails and of pieces.
//
// The engine asks at run time (through choices.h), `torch-ring plan` for machines that are not there. Pure
// functions of their arguments, without I/O or state: thread-safe, and equal inputs give equal answers on
// every rank.
//
// The model is Hockney's: a message of b bytes takes alpha + b*beta ("The communication challenge for MPP",
// 1994), a reduction gamma per byte; with it, of the algorithms between hosts:
//   ring                Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
//                       workstations" (2009)
//   doubling,           recursive doubling, recursive halving and binomial trees as in Thakur, Rabenseifner
//   and halving_doubling,   Gropp, "Optimization of collective communication operations in MPICH" (2005),
//   with what tree                they do where the hosts are not a power of two
// What is added here: chunks that are sent on while the next ones arrive, the cost of a frame, rails that
// share the link of their host, and the stages in the host. The formulas are in cost_model.cc.
//
// `bytes` is always the largest buffer of one rank: the tensor (all_reduce, broadcast), the whole output
// (all_gather), the whole input (reduce_scatter); a barrier's are ignored. Seconds, bytes, seconds per byte
// throughout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ring/base/collective.h"

namespace ring {

// Between two hosts.
struct LinkCost {
    double latency_s;         // alpha, one way: an empty frame sent by one rank until another one has it
    double seconds_per_byte;  // beta, of the link of a host in one direction, used by all its ranks
    double frame_s;           // what each further frame costs the rank that receives it and sends it on
};

// Inside one host, with all its ranks at it at the same time.
struct HostCost {
    double sync_s;                   // all ranks wait for one another once
    double seconds_per_byte;         // one rank gets a byte from another through shared memory
    double reduce_seconds_per_byte;  // gamma: one rank adds a byte of one vector to another
};

struct Machine {
    LinkCost link;
    HostCost host;
    double stream_seconds_per_byte;  // what one TCP stream reaches at best; at most link.seconds_per_byte is
                                     // a link that one stream can fill
};

// Where nothing was measured: 10 Gbit/s Ethernet and servers of its age.
Machine default_machine();

struct Shape {
    int hosts = 1;
    int ranks_per_host = 1;  // of the smallest host: there are so many rails

    bool operator==(const Shape&) const = default;
};

inline constexpr size_t kSmallestChunk = size_t{16} << 10;
inline constexpr size_t kLargestChunk = size_t{4} << 20;
inline constexpr int kMostStreams = 8;
inline constexpr int kMostPieces = 64;
inline constexpr size_t kLargestForOneRail = size_t{64} << 10;  // larger ones always use all rails

// A way to run a collective.
struct Plan {
    RailAlgorithm algorithm = RailAlgorithm::kRing;  // means nothing on one host
    size_t chunk_bytes = kSmallestChunk;             // payload of a frame, a power of two
    int streams = 1;  // TCP connections of one rail to one neighbour, 1 .. kMostStreams
    int rails = 1;    // 1: the first rank of each host carries all; else ranks_per_host
    int pieces = 1;   // the tensor is cut into so many, so that a piece is on the rails while its predecessor
                      // and successor are in the stages inside the host. One piece is on the rails at a time

    bool operator==(const Plan&) const = default;
};

struct Prediction {
    Plan plan;
    int steps = 0;              // messages between hosts that must follow one another, for one piece
    double seconds = 0;         // from the call of the last rank to the return of the last one
    double frames = 0;          // that the busiest rank receives, all pieces together
    double bytes_per_link = 0;  // over the busiest host's link, in its busier direction
    double efficiency = 0;  // the time that the bytes which must cross a link need at its rate, by seconds;
                            // 0 where nothing must cross
};

// What somebody fixed; the model chooses the rest.
struct Override {
    std::optional<RailAlgorithm> algorithm;
    std::optional<size_t> chunk_bytes;
    std::optional<int> streams;
};

// Of a collective that has a plan of its own (has_plan()): the best plan of each algorithm that can run it,
// in the order of its row; on one host, where there are no rails, just one. The best is the fastest, where a
// tenth of the time that a rank is busy with frames counts on top: so plans that cost nearly the same time do
// not waste CPUs. Throws ConfigError where the shape, the machine or what is fixed makes no sense. Some
// microseconds; up to a hundred for a large tensor.
std::vector<Prediction> predict_all(Collective kind, size_t bytes, const Shape& shape, const Machine& machine,
                                    const Override& fixed = {});

// The best of them.
Prediction choose(Collective kind, size_t bytes, const Shape& shape, const Machine& machine,
                  const Override& fixed = {});

}  // namespace ring
