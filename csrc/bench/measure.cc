// See measure.h.
#include "measure.h"

#include <algorithm>
#include <vector>

#include "pattern.h"

namespace ring_perf {
namespace {

using ring::Arguments;
using ring::Collective;

// The memory of one collective at one size, and the arguments that point into it.
class Call {
  public:
    Call(const Options& options, int rank, int ranks, size_t bytes)
        : options_(options), traits_(options.traits()), rank_(rank), ranks_(ranks) {
        const size_t element = ring::size_of(options.dtype);
        const bool sharded = traits_.inputs || traits_.outputs;
        const bool whole_to_whole = !sharded && (traits_.reduces || traits_.message);
        const bool in_place = options.in_place;
        const auto shares = static_cast<size_t>(sharded ? ranks : 1);
        share_ = !traits_.sized ? 0 : bytes / element / shares;
        total_ = share_ * shares;
        whole_.resize(total_ * element);
        if (!in_place) other_.resize((whole_to_whole || traits_.counted ? total_ : share_) * element);

        arguments.signature.kind = options.collective;
        arguments.signature.dtype = options.dtype;
        arguments.signature.count = share_;
        if (traits_.reduces) arguments.signature.op = options.op;
        if (traits_.rooted) arguments.signature.root = options.root;
        std::byte* own = in_place ? share_of(sharded ? rank : 0) : other_.data();
        arguments.input = whole_to_whole ? whole_.data() : own;
        arguments.output = own;
        for (int r = 0; sharded && r < ranks; ++r) {
            arguments.inputs.push_back(share_of(r));
            arguments.outputs.push_back(traits_.counted ? other_.data() + offset_of(r) * element
                                                        : share_of(r));
        }
        if (traits_.message) {
            arguments.signature.root = (rank + 1) % ranks;
            other_arguments_ = arguments;
            other_arguments_.signature.kind = Collective::kRecv;
            other_arguments_.signature.root = (rank + ranks - 1) % ranks;
        }
        if (traits_.counted) {
            arguments.signature.count = 0;
            arguments.input_counts.assign(ranks, share_);
            arguments.output_counts.assign(ranks, share_);
        }
    }

    void run(ring::Communicator& group) const {
        if (!traits_.message) return group.run(arguments);
        const auto operation = group.post(arguments);
        group.wait(group.post(other_arguments_));
        group.wait(operation);
    }

    // What the arguments say before a call that is checked.
    void fill() {
        fill_poison(whole_.data(), whole_.size());
        fill_poison(other_.data(), other_.size());
        const bool one_to_all = traits_.rooted && !traits_.reduces && !traits_.outputs;
        if (traits_.outputs && !traits_.inputs)
            fill_pattern(const_cast<void*>(arguments.input), share_, options_.dtype, rank_, offset_of(rank_));
        else if (!one_to_all || rank_ == options_.root)
            fill_pattern(whole_.data(), total_, options_.dtype, rank_);
    }

    // How many elements are wrong after it.
    size_t wrong() const {
        const ring::DType dtype = options_.dtype;
        const bool all_to_one = traits_.rooted && (traits_.reduces || traits_.outputs);
        if (all_to_one && rank_ != options_.root) return 0;
        if (traits_.reduces)
            return count_wrong_reduced(arguments.output, share_, dtype, options_.op, ranks_,
                                       traits_.inputs ? offset_of(rank_) : 0);
        if (traits_.message)
            return count_wrong(arguments.output, total_, dtype, (rank_ + ranks_ - 1) % ranks_);
        if (!traits_.outputs)
            return count_wrong(arguments.output, share_, dtype, options_.root,
                               traits_.inputs ? offset_of(rank_) : 0);
        size_t wrong = 0;
        for (int r = 0; r < ranks_; ++r)
            wrong +=
                count_wrong(arguments.outputs[r], share_, dtype, r, offset_of(traits_.inputs ? rank_ : r));
        return wrong;
    }

    size_t count() const { return total_; }

    Arguments arguments;

  private:
    Arguments other_arguments_;  // of the receive, where it is a message
    size_t offset_of(int rank) const { return static_cast<size_t>(rank) * share_; }
    std::byte* share_of(int rank) { return whole_.data() + offset_of(rank) * ring::size_of(options_.dtype); }

    const Options& options_;
    const ring::CollectiveTraits& traits_;
    const int rank_;
    const int ranks_;
    size_t share_ = 0;              // elements
    size_t total_ = 0;              // elements
    std::vector<std::byte> whole_;  // the larger of input and output
    std::vector<std::byte> other_;  // out of place: the other one
};

struct Result {
    Times times;
    size_t wrong = 0;
};

// Of all ranks, by an all-gather over the group that was measured.
Result combined(ring::Communicator& group, const Result& mine) {
    std::vector<Result> all(static_cast<size_t>(group.layout().size()));
    Arguments arguments;
    arguments.signature.kind = Collective::kAllGather;
    arguments.signature.count = sizeof(Result);
    arguments.input = &mine;
    for (Result& one : all) arguments.outputs.push_back(&one);
    group.wait(group.post(arguments));
    Result result;
    for (const Result& one : all) {
        result.times.median = std::max(result.times.median, one.times.median);
        result.times.min = std::max(result.times.min, one.times.min);
        result.times.p90 = std::max(result.times.p90, one.times.p90);
        result.times.cpu += one.times.cpu;
        result.wrong += one.wrong;
    }
    return result;
}

}  // namespace

Row measure(ring::Communicator& group, const Options& options, size_t bytes) {
    const int ranks = group.layout().size();
    Call call(options, group.layout().rank(), ranks, bytes);
    const auto run = [&] { call.run(group); };
    Result mine;
    mine.times = time_calls(calls_of_size(options.warmup, bytes), calls_of_size(options.calls, bytes), run);
    if (options.check) {
        call.fill();
        run();
        mine.wrong = call.wrong();
    }
    const Result all = combined(group, mine);
    const ring::CollectiveTraits& traits = options.traits();
    return {.bytes = call.count() * ring::size_of(options.dtype),
            .count = call.count(),
            .type = traits.sized ? name_of(options.dtype) : "none",
            .op = traits.reduces ? name_of(options.op) : "none",
            .times = all.times,
            .bus_factor = ring::bus_factor(options.collective, ranks),
            .wrong = all.wrong};
}

}  // namespace ring_perf
