// What an algorithm sees of its group while one operation runs, and what the caller asked for.
//
// A collective runs through three *lanes*: in the host, on the rail between hosts, in the host again. A large
// operation is cut into *pieces*, each of which passes through all three lanes. In each lane the pieces of
// all operations of a group take turns, in the order in which the operations were called; so the lanes work
// on different pieces, or operations, at the same time, and what each lane sends or publishes is in the same
// order on all ranks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ring/base/config.h"
#include "ring/collectives/scratch.h"
#include "ring/collectives/task.h"
#include "ring/collectives/tuning.h"
#include "ring/kernels/reduce.h"
#include "ring/topology/layout.h"
#include "ring/transport/link.h"
#include "ring/transport/message/mailbox.h"
#include "ring/transport/shm/segment.h"

namespace ring {

// The arguments of one collective, in elements of signature.dtype; Collective says which of them it takes.
// The memory stays the caller's. `input_counts`, `output_counts`: where the shares differ in size, of each
// rank's; all_gather takes output_counts, too.
struct Arguments {
    Signature signature;
    const void* input = nullptr;
    void* output = nullptr;
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    std::vector<uint64_t> input_counts{};
    std::vector<uint64_t> output_counts{};
    int64_t tag = 0;
};

enum class Lane { kHostIn = 0, kRail, kHostOut };
constexpr size_t kLanes = 3;
// The segment knows the two lanes inside the host.
constexpr int host_lane(Lane lane) {
    return lane == Lane::kHostIn ? 0 : 1;
}

class HostStages;
class Offers;

// What the operations of one group share.
struct Group {
    const Layout& layout;
    const Config& config;
    const Tuning& tuning;
    uint64_t id = 0;
    const HostStages& host;
    Memory& memory;
    Offers* offers = nullptr;    // this rank's, where it has a segment
    Segment* segment = nullptr;  // shared with the other ranks of this cell; null where there are none
    std::vector<Link*> links{};  // by position on this rank's rail; null where no edge is
    Mailbox* mailbox = nullptr;
    std::array<uint64_t, kLanes> serving{};    // whose turn it is in a lane
    std::array<uint64_t, kHostLanes> phase{};  // at the end of the last stage; the same on all local ranks
    uint64_t turns = 0;                        // taken so far at the links between hosts; likewise
};

// How numbers are added up at one stage of an operation: the elements of the sources and of the result may
// differ in size, see ReduceStage.
struct Reduction {
    ReduceFn function;
    size_t in;   // bytes of an element of the sources
    size_t out;  // and of the result
    size_t divisor = 1;

    void operator()(void* to, const void* const* sources, size_t n, size_t count) const {
        function(to, sources, n, count, divisor);
    }
};

// What a rank enters an operation with, for the other ranks of its host to read.
struct Entered {
    const void* data = nullptr;
    size_t bytes = 0;
};

// One piece of one operation.
struct Context {
    Group& group;
    const Layout& layout = group.layout;
    Segment* segment = nullptr;  // of the group

    uint64_t number = 0;  // of this piece among all of the group: its turn in each lane
    uint64_t operation = 0;
    uint64_t history = 0;  // of the operations before it, see with_call()
    const Arguments* arguments = nullptr;
    const Plan* plan = nullptr;  // of the operation
    size_t piece = 0;            // of `pieces` of the operation
    size_t pieces = 1;
    size_t lanes_passed = 0;
    std::optional<Entered> entered{};  // before its coroutine began, see host/one_shot.h
    Scratch scratch{group.memory};

    const Signature& signature() const { return arguments->signature; }
    const HostStages& host() const { return group.host; }
    size_t element_bytes() const { return size_of(signature().dtype); }
    size_t bytes() const { return signature().count * element_bytes(); }
    // Bytes of an element of a sum that lacks some of its addends, where it is kept or sent.
    size_t partial_bytes() const;
    // AVG divides in the stage that completes a sum.
    Reduction reduction(ReduceStage stage) const;

    // This rank's position on its rail, and the one `distance` further on.
    int position(int distance = 0) const {
        const int n = layout.cells();
        return ((layout.my_cell_index() + distance) % n + n) % n;
    }
    Link& link(int position) const { return *group.links[position]; }
    // Post the next frame to or from a position of the rail. Only in the rail lane.
    uint64_t send(int position, const std::byte* data, size_t bytes) const;
    uint64_t receive(int position, std::byte* data, size_t bytes) const;

    // Post a message of this operation to or from any other rank; see Mailbox.
    TransferPtr send_message(int rank, const void* data, size_t bytes, size_t credit = kCreditBytes) const;
    TransferPtr receive_message(int rank, void* data, size_t bytes) const;

    // To be awaited: this piece's turn in a lane. Pieces pass every lane, in order.
    class Turn;
    auto turn(Lane lane) const;
    // Lets the next piece into the lane: at the end of a stage in the host, or as soon as all that this piece
    // sends and receives on the rail is posted.
    void pass(Lane lane);
};

class Context::Turn : public Waitable {
  public:
    Turn(const uint64_t& serving, uint64_t number) : serving_(&serving), number_(number) {}
    bool ready() override { return *serving_ == number_; }
    std::vector<int> awaited() const override { return {}; }  // of no rank: of an older piece here

  private:
    const uint64_t* serving_;
    uint64_t number_;
};

inline auto Context::turn(Lane lane) const {
    return until(Turn(group.serving[static_cast<size_t>(lane)], number));
}

// To be awaited: lets a piece through a lane in which this rank has nothing to do.
inline auto skip(Context& context, Lane lane) {
    return until(Context::Turn(context.group.serving[static_cast<size_t>(lane)], context.number),
                 [&context, lane] { context.pass(lane); });
}

// Whether the ranks of the host, all of which have entered the operation, called the same.
bool announced_alike(const Context& context);
// Throws MismatchError where they did not.
void check_announcements(const Context& context);

// To be awaited: announces the operation to the other ranks of the host, with a small payload, waits until
// all have entered it, and compares what they called; the first thing that a collective does in lane kHostIn,
// in its first piece. Throws MismatchError. Nothing to do for a rank that is alone in its cell.
inline auto enter(Context& context, const void* payload = nullptr, size_t bytes = 0) {
    if (context.segment != nullptr)
        context.segment->enter({context.operation, context.signature()}, payload, bytes);
    return until(AllEntered(context.segment, context.operation),
                 [&context] { check_announcements(context); });
}

}  // namespace ring
