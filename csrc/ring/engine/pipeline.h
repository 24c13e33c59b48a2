// The collectives of a group that are under way, cut into pieces: each begins in order, goes as far as it
// gets, and ends in order. Used by Session.
//
//      queue            slots: pieces under way              ended
//   [op 9][op 8] --> [8.1] [8.0] [7.3] [7.2] --> op 7, when its last piece has
//                     |  each passes the lanes: host in, rail, host out (context.h)
//                     begun by start(), moved on by advance(), taken out by retire()
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ring/collectives/context.h"
#include "ring/engine/operation.h"

namespace ring {

// Used by the thread that holds the baton. `fails_from`: operations from this number on fail; they stay as
// they are, while older ones end, until all are abandoned.
class Pipeline {
  public:
    // `group` and `tuning` must outlive it.
    Pipeline(Group& group, const Tuning& tuning);

    // Whether an operation may be put in: the one before has begun all of its pieces, and one more has room.
    bool takes() const { return cut_.operation == nullptr && !full(); }
    // Its pieces begin next.
    void put(OperationPtr operation);

    // Whether start() would begin a piece.
    bool can_start(uint64_t fails_from) const;
    // These are true if anything moved. They throw what the collective throws.
    bool start(uint64_t fails_from);
    bool advance(uint64_t fails_from);
    // Calls ended(operation) for each that has.
    template <typename Ended>
    bool retire(uint64_t fails_from, Ended ended);

    // A collective that is one shot in the host, while nothing is under way, without an operation and a
    // coroutine: enters it, and ends it once all have entered, and called the same. Instead of the latter it
    // may become an operation like others. `arguments` must live until one or the other.
    void enter(uint64_t number, const Arguments& arguments);
    bool all_have_entered();
    const Context& take_entered();
    void adopt(OperationPtr operation);

    bool busy() const { return oldest_ != begun_; }
    // Whether what a piece waits for is there.
    bool ready(uint64_t fails_from) const;
    // Of the collectives that have begun the one that was called first; null for none.
    const Operation* oldest() const { return busy() ? slot(oldest_).operation.get() : nullptr; }
    // What it waits for is there; the ranks that it waits for.
    bool oldest_is_ready() const { return busy() && slot(oldest_).strand->ready(); }
    std::vector<int> awaited() const;
    // The next one to be ended: the oldest, or that which is about to begin; null for none.
    const Operation* next() const { return busy() ? oldest() : cut_.operation.get(); }
    // The first that waits for something of this rank, of which `called` is known to be the last that it
    // called, among those before `limit`; else `limit`.
    uint64_t needs(int rank, uint64_t called, uint64_t limit) const;

    // Takes out all that there are; in order, each once. Their memory is let go of.
    std::vector<OperationPtr> abandon();
    // Gives back the temporary memory, while nothing is under way.
    void give_back();

  private:
    static constexpr uint64_t kInFlight = 4;
    struct Slot {
        Context context;
        OperationPtr operation;
        std::optional<Strand> strand;
    };
    // The operation whose pieces begin now; none once all of them have.
    struct Cut {
        OperationPtr operation;
        const Plan* plan = nullptr;
        uint64_t history = 0;
        size_t next = 0;
        size_t pieces = 0;
    };

    // Piece p is in slot p % kInFlight.
    Slot& slot(uint64_t piece) { return slots_[piece % kInFlight]; }
    const Slot& slot(uint64_t piece) const { return slots_[piece % kInFlight]; }
    bool full() const { return begun_ - oldest_ == kInFlight; }
    // The context of the next piece to begin, for an operation whose pieces begin now.
    Context& next_context(uint64_t operation, const Arguments& arguments);
    void begin(OperationPtr operation);
    // Ends the oldest piece; the operation whose last it was.
    OperationPtr take_out();

    const Tuning& tuning_;
    std::vector<Slot> slots_;
    Cut cut_;
    std::optional<AllEntered> entering_;  // from enter() on, until it ends or is adopted
    uint64_t history_ = 0;                // of the operations that have begun
    uint64_t oldest_ = 0;                 // the first piece that has not ended; all are numbered from 0
    uint64_t begun_ = 0;                  // pieces up to here have begun
};

template <typename Ended>
bool Pipeline::retire(uint64_t fails_from, Ended ended) {
    bool retired = false;
    // In order: the last lane is passed in order, so that a later one cannot have ended before.
    while (busy() && slot(oldest_).strand->done() && slot(oldest_).operation->number < fails_from) {
        if (const OperationPtr operation = take_out()) ended(operation);
        retired = true;
    }
    return retired;
}

}  // namespace ring
