// See cost_model.h.
//
// A collective is three stages: in the host, on the rails between hosts, in the host again. Each is costed on
// its own; P pieces pass through them as through a pipeline:
//
//   T = before + rails + after + (P - 1) * max(before, rails, after)            each for 1/P of the bytes
//
// What the rails take is in rail_cost.cc.
#include "ring/topology/cost_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "ring/base/error.h"
#include "ring/topology/rail_cost.h"

namespace ring {
namespace {

// Pieces below this are not worth their synchronisations; small calls are then costed quickly, too.
constexpr size_t kSmallestPiece = size_t{64} << 10;

// A further stream must be able to add at least this part of what one can do.
constexpr double kWorthAStream = 0.1;

// The CPU time of a frame counts even where the link is what all wait for: others could use it. So much of it
// is added to the time when plans are compared.
constexpr double kFrameWeight = 0.1;

// What differs by less than this part is a matter of rounding.
constexpr double kEqual = 1e-9;

// What a core's own cache holds beside the rest: a larger chunk is read from memory again to be reduced.
// Found by measuring; the model knows no caches.
constexpr size_t kLargestInCache = size_t{256} << 10;

// How often the ranks of a host wait for one another in a stage: when all of them work, until the buffers are
// free and until they are filled; when one works for all, until it may begin or the others may go on.
constexpr int kSyncsAll = 2;
constexpr int kSyncsLeader = 1;

// ---- inside the host ----

struct HostTimes {
    double before = 0;
    double after = 0;
};

// `b` bytes of the tensor, `r` ranks in each host that carry a part of it.
HostTimes all_ranks_work(Collective kind, double b, double r, const HostCost& host) {
    const CollectiveTraits& traits = traits_of(kind);
    const double others = (r - 1) / r * b;
    const double sync = kSyncsAll * host.sync_s;
    const double reduce = sync + others * (host.seconds_per_byte + host.reduce_seconds_per_byte);
    const double share = sync + others * host.seconds_per_byte;
    return {.before = traits.reduces  ? reduce
                      : traits.rooted ? share
                                      : sync,
            .after = traits.sized && !traits.inputs ? share : sync};
}

// The first rank reduces for, or takes from, all `r` ranks of its host, and hands out what came.
HostTimes leader_works(Collective kind, double b, double r, double hosts, const HostCost& host) {
    const CollectiveTraits& traits = traits_of(kind);
    const double sync = kSyncsLeader * host.sync_s;
    const double all = sync + b * host.seconds_per_byte;
    const double reduce = all + (r - 1) * b * host.reduce_seconds_per_byte;
    if (!traits.sized) return {sync, sync};
    return {.before = traits.reduces   ? reduce
                      : traits.outputs ? sync + b / hosts * host.seconds_per_byte
                                       : all,
            .after = traits.inputs ? sync + b / hosts / r * host.seconds_per_byte : all};
}

HostTimes host_stages(Collective kind, double b, const Shape& shape, int rails, const HostCost& host) {
    if (shape.ranks_per_host == 1) return {};
    return rails == 1 ? leader_works(kind, b, shape.ranks_per_host, shape.hosts, host)
                      : all_ranks_work(kind, b, shape.ranks_per_host, host);
}

// ---- all of it ----

struct Call {
    Collective kind;
    double bytes;
    Shape shape;
    Machine machine;
};

// What must cross each host's link in one direction, whatever the algorithm.
double must_cross(const Call& call) {
    return call.shape.hosts == 1 ? 0 : bus_factor(call.kind, call.shape.hosts) * call.bytes;
}

int streams_for(const Machine& machine, int rails) {
    const double rail = machine.link.seconds_per_byte * rails;
    if (machine.stream_seconds_per_byte <= rail) return 1;
    if (rail == 0) return kMostStreams;
    const double needed = std::ceil(machine.stream_seconds_per_byte / rail - kWorthAStream);
    return static_cast<int>(std::clamp(needed, 1.0, double{kMostStreams}));
}

Prediction predict(const Call& call, const Plan& plan) {
    const double b = call.bytes / plan.pieces;
    const HostTimes host = host_stages(call.kind, b, call.shape, plan.rails, call.machine.host);
    RailCost rails;
    if (call.shape.hosts > 1)
        rails =
            rail_cost(plan.algorithm, call.kind, call.shape.hosts, b / plan.rails, Rail(call.machine, plan));
    Prediction prediction;
    prediction.plan = plan;
    prediction.steps = rails.steps;
    prediction.seconds = host.before + rails.seconds + host.after +
                         (plan.pieces - 1) * std::max({host.before, rails.seconds, host.after});
    prediction.bytes_per_link = rails.bytes * plan.rails * plan.pieces;
    prediction.frames = rails.frames * plan.pieces;
    if (prediction.seconds > 0)
        prediction.efficiency = must_cross(call) * call.machine.link.seconds_per_byte / prediction.seconds;
    return prediction;
}

double weighed(const Prediction& one, const Machine& machine) {
    return one.seconds + kFrameWeight * one.frames * machine.link.frame_s;
}

// The first of the best.
class Best {
  public:
    explicit Best(const Machine& machine) : machine_(machine) {}

    void consider(const Prediction& one) {
        const double cost = weighed(one, machine_);
        if (cost >= cost_ * (1 - kEqual)) return;
        best_ = one;
        cost_ = cost;
    }
    const Prediction& get() const { return best_; }

  private:
    const Machine& machine_;
    Prediction best_;
    double cost_ = std::numeric_limits<double>::max();
};

// Between hosts the leaders carry small all_reduces and barriers for all; nothing else.
bool leaders_can(const Call& call, RailAlgorithm algorithm) {
    if (call.bytes > kLargestForOneRail) return false;
    return call.shape.hosts == 1 ||
           ((call.kind == Collective::kAllReduce || call.kind == Collective::kBarrier) &&
            algorithm == RailAlgorithm::kDoubling);
}

// Over rails, pieces and chunk sizes; of equals the one with fewer rails, fewer pieces, smaller chunks.
Prediction best_of(const Call& call, RailAlgorithm algorithm, const Override& fixed) {
    const auto bytes = static_cast<size_t>(call.bytes);
    const int ranks = call.shape.ranks_per_host;
    const bool overlaps = call.shape.hosts > 1 && ranks > 1;
    Best best(call.machine);
    for (const int rails : {1, ranks}) {
        if (rails < ranks && !leaders_can(call, algorithm)) continue;
        Plan plan{algorithm, 0, 1, rails, 1};
        do {
            const size_t on_rail = bytes / (rails * plan.pieces);
            plan.chunk_bytes = fixed.chunk_bytes.value_or(kSmallestChunk);
            do {
                const size_t frames = std::max<size_t>(1, on_rail / plan.chunk_bytes);
                plan.streams = fixed.streams.value_or(
                    static_cast<int>(std::min<size_t>(frames, streams_for(call.machine, rails))));
                best.consider(predict(call, plan));
                plan.chunk_bytes *= 2;
                // A chunk larger than what a rail has to send changes nothing.
            } while (!fixed.chunk_bytes && plan.chunk_bytes <= kLargestInCache &&
                     plan.chunk_bytes / 2 < on_rail);
            plan.pieces *= 2;
        } while (overlaps && plan.pieces <= kMostPieces && bytes / plan.pieces >= kSmallestPiece);
    }
    return best.get();
}

void check(const Call& call, const Override& fixed) {
    const auto refuse = [](const std::string& what) { throw ConfigError("cost model: " + what); };
    if (call.shape.hosts < 1 || call.shape.hosts > 1 << 24)
        refuse(std::to_string(call.shape.hosts) + " hosts; allowed: 1 .. 16777216");
    if (call.shape.ranks_per_host < 1 || call.shape.ranks_per_host > 1 << 16)
        refuse(std::to_string(call.shape.ranks_per_host) + " ranks per host; allowed: 1 .. 65536");
    if (call.bytes > double{1ULL << 60}) refuse("more than 2^60 bytes");
    const LinkCost& link = call.machine.link;
    const HostCost& host = call.machine.host;
    for (const auto& [name, value] : {std::pair{"the link's latency", link.latency_s},
                                      {"the link's time per byte", link.seconds_per_byte},
                                      {"the link's time per frame", link.frame_s},
                                      {"the host's synchronisation time", host.sync_s},
                                      {"the host's time per byte", host.seconds_per_byte},
                                      {"the host's time per reduced byte", host.reduce_seconds_per_byte},
                                      {"the stream's time per byte", call.machine.stream_seconds_per_byte}})
        if (!(value >= 0) || std::isinf(value))
            refuse(std::string(name) + " is " + std::to_string(value) + "; allowed: 0 or more, in seconds");
    if (fixed.chunk_bytes && (!std::has_single_bit(*fixed.chunk_bytes) ||
                              *fixed.chunk_bytes < kSmallestChunk || *fixed.chunk_bytes > kLargestChunk))
        refuse("a chunk of " + std::to_string(*fixed.chunk_bytes) + " bytes; allowed: powers of two, " +
               std::to_string(kSmallestChunk) + " .. " + std::to_string(kLargestChunk));
    if (fixed.streams && (*fixed.streams < 1 || *fixed.streams > kMostStreams))
        refuse(std::to_string(*fixed.streams) + " streams; allowed: 1 .. " + std::to_string(kMostStreams));
    const auto possible = traits_of(call.kind).algorithms;
    if (!has_plan(call.kind)) refuse(std::string(name_of(call.kind)) + " has no plan of its own");
    if (fixed.algorithm && std::ranges::find(possible, *fixed.algorithm) == possible.end())
        refuse(std::string(name_of(call.kind)) + " by " + name_of(*fixed.algorithm) + " does not exist");
}

}  // namespace

Machine default_machine() {
    return {.link = {.latency_s = 25e-6, .seconds_per_byte = 8 / 10e9, .frame_s = 3e-6},
            .host = {.sync_s = 1e-6, .seconds_per_byte = 1 / 8e9, .reduce_seconds_per_byte = 1 / 10e9},
            .stream_seconds_per_byte = 8 / 25e9};
}

std::vector<Prediction> predict_all(Collective kind, size_t bytes, const Shape& shape, const Machine& machine,
                                    const Override& fixed) {
    const Call call{kind, traits_of(kind).sized ? static_cast<double>(bytes) : 0, shape, machine};
    check(call, fixed);
    std::vector<Prediction> predictions;
    for (const RailAlgorithm algorithm : traits_of(kind).algorithms) {
        if (fixed.algorithm && algorithm != *fixed.algorithm) continue;
        predictions.push_back(best_of(call, algorithm, fixed));
        if (shape.hosts == 1) break;
    }
    return predictions;
}

Prediction choose(Collective kind, size_t bytes, const Shape& shape, const Machine& machine,
                  const Override& fixed) {
    const std::vector<Prediction> all = predict_all(kind, bytes, shape, machine, fixed);
    Best best(machine);
    for (const Prediction& one : all) best.consider(one);
    return best.get();
}

}  // namespace ring
