// See overlap.h.
#include "c10d/overlap.h"

#include <algorithm>

namespace torch_ring {

Overlap::Range Overlap::range_of(const at::Tensor& tensor) {
    if (!tensor.device().is_cpu() || tensor.layout() != c10::kStrided || tensor._is_zerotensor() ||
        tensor.numel() == 0)
        return {};
    int64_t last = 0;  // the element that lies furthest from the first; strides are not negative
    for (int64_t d = 0; d < tensor.dim(); ++d) last += (tensor.size(d) - 1) * tensor.stride(d);
    const auto* const begin = static_cast<const char*>(tensor.const_data_ptr());
    return {begin, begin + (last + 1) * static_cast<int64_t>(tensor.element_size())};
}

Overlap::Range Overlap::part_of(const Range& whole, int rank, int ranks) {
    const auto bytes = (whole.end - whole.begin) / ranks;
    return {whole.begin + rank * bytes, whole.begin + (rank + 1) * bytes};
}

void Overlap::read(const Range& range, const Range& own) {
    if (range.begin != range.end && range != own) reads_.push_back(range);
}

void Overlap::gather(const Tensors& outputs, const at::Tensor& input, int rank) {
    const size_t before = writes_.size();
    for (const at::Tensor& output : outputs) in_place(output);
    const bool has_own = static_cast<size_t>(rank) < outputs.size();
    read(range_of(input), has_own ? writes_[before + static_cast<size_t>(rank)] : Range());
}

void Overlap::gather_into(const at::Tensor& output, const at::Tensor& input, int rank, int ranks) {
    in_place(output);
    read(range_of(input), part_of(writes_.back(), rank, ranks));
}

void Overlap::scatter(const at::Tensor& output, const Tensors& inputs, int rank) {
    in_place(output);
    for (size_t r = 0; r < inputs.size(); ++r)
        read(range_of(inputs[r]), static_cast<int>(r) == rank ? writes_.back() : Range());
}

void Overlap::scatter_from(const at::Tensor& output, const at::Tensor& input, int rank, int ranks) {
    in_place(output);
    const Range whole = range_of(input);
    const Range own = part_of(whole, rank, ranks);
    if (own != writes_.back()) return read(whole, {});
    read({whole.begin, own.begin}, {});
    read({own.end, whole.end}, {});
}

void Overlap::exchange(const Tensors& outputs, const Tensors& inputs) {
    for (const at::Tensor& output : outputs) in_place(output);
    for (const at::Tensor& input : inputs) apart(input);
}

bool Overlap::found() {
    const auto is_before = [](const Range& one, const Range& other) { return one.begin < other.begin; };
    const auto end = std::remove_if(writes_.begin(), writes_.end(),
                                    [](const Range& range) { return range.begin == range.end; });
    writes_.erase(end, writes_.end());
    // Most lists are the parts of one tensor, in order.
    if (!std::is_sorted(writes_.begin(), writes_.end(), is_before))
        std::sort(writes_.begin(), writes_.end(), is_before);
    for (size_t i = 1; i < writes_.size(); ++i)
        if (writes_[i].begin < writes_[i - 1].end) return true;
    // They do not overlap, so their ends are in order as well.
    return std::any_of(reads_.begin(), reads_.end(), [this](const Range& range) {
        const auto first =
            std::upper_bound(writes_.begin(), writes_.end(), range.begin,
                             [](const char* begin, const Range& written) { return begin < written.end; });
        return first != writes_.end() && first->begin < range.end;
    });
}

}  // namespace torch_ring
