// See tensors.h.
#include "tensors.h"

#include "pattern.h"

namespace ring_perf {

Tensors::Tensors(const Subject& subject, int rank, int ranks, size_t bytes)
    : subject_(subject), rank_(rank), ranks_(ranks) {
    const ring::CollectiveTraits& traits = subject.traits();
    const size_t element = ring::size_of(subject.dtype);
    const bool sharded = traits.inputs || traits.outputs;
    const bool whole_to_whole = !sharded && (traits.reduces || subject.copies());
    const auto shares = static_cast<size_t>(sharded ? ranks : 1);
    share_ = !traits.sized ? 0 : bytes / element / shares;
    total_ = share_ * shares;
    whole_.resize(total_ * element);
    if (!subject.in_place()) other_.resize((whole_to_whole || traits.counted ? total_ : share_) * element);

    const auto share_of = [&](std::vector<std::byte>& memory, int r) {
        return static_cast<void*>(memory.data() + offset_of(r) * element);
    };
    output = subject.in_place() ? share_of(whole_, sharded ? rank : 0) : other_.data();
    input = whole_to_whole ? whole_.data() : output;
    for (int r = 0; sharded && r < ranks; ++r) {
        inputs.push_back(share_of(whole_, r));
        outputs.push_back(share_of(traits.counted ? other_ : whole_, r));
    }
}

void Tensors::fill() {
    const ring::CollectiveTraits& traits = subject_.traits();
    fill_poison(whole_.data(), whole_.size());
    fill_poison(other_.data(), other_.size());
    const bool one_to_all = traits.rooted && !traits.reduces && !traits.outputs;
    if (traits.outputs && !traits.inputs)
        fill_pattern(input, share_, subject_.dtype, rank_, offset_of(rank_));
    else if (!one_to_all || rank_ == subject_.root)
        fill_pattern(whole_.data(), total_, subject_.dtype, rank_);
}

size_t Tensors::wrong() const {
    const ring::CollectiveTraits& traits = subject_.traits();
    const ring::DType dtype = subject_.dtype;
    const bool all_to_one = traits.rooted && (traits.reduces || traits.outputs);
    if (all_to_one && rank_ != subject_.root) return 0;
    const size_t first = traits.inputs ? offset_of(rank_) : 0;
    if (traits.reduces) return count_wrong_reduced(output, share_, dtype, subject_.op, ranks_, first);
    if (subject_.copies()) return count_wrong(output, total_, dtype, traits.message ? before() : rank_);
    if (!traits.outputs) return count_wrong(output, share_, dtype, subject_.root, first);
    size_t wrong = 0;
    for (int r = 0; r < ranks_; ++r)
        wrong += count_wrong(outputs[r], share_, dtype, r, offset_of(traits.inputs ? rank_ : r));
    return wrong;
}

}  // namespace ring_perf
