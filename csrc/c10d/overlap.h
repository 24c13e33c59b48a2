// Finds out whether a call would read memory that it has written by then.
//
// As gloo does, a call reads all its tensors as they were before it. libring works on their memory itself,
// and a call of several operations runs one after the other; so where memory overlaps, the call is set apart
// (Staging). What the calls' arguments allow (csrc/ring/collectives/context.h) is no overlap.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <vector>

namespace torch_ring {

// Not thread-safe. Looks at addresses alone: tensors that the call will refuse may be given, too.
class Overlap {
  public:
    using Tensors = std::vector<at::Tensor>;

    // What is written, from itself or from what it may share memory with.
    void in_place(const at::Tensor& tensor) { writes_.push_back(range_of(tensor)); }
    // What is read, and must share no memory with what is written.
    void apart(const at::Tensor& tensor) { read(range_of(tensor), {}); }
    // Each adds the tensors of one operation.
    void gather(const Tensors& outputs, const at::Tensor& input, int rank);
    void gather_into(const at::Tensor& output, const at::Tensor& input, int rank, int ranks);
    void scatter(const at::Tensor& output, const Tensors& inputs, int rank);
    void scatter_from(const at::Tensor& output, const at::Tensor& input, int rank, int ranks);
    void exchange(const Tensors& outputs, const Tensors& inputs);

    bool found();

  private:
    struct Range {
        const char* begin = nullptr;
        const char* end = nullptr;
        bool operator==(const Range&) const = default;
    };
    static Range range_of(const at::Tensor& tensor);
    // One rank's part of a contiguous tensor.
    static Range part_of(const Range& whole, int rank, int ranks);
    // `own`: what is written there comes from what is read there.
    void read(const Range& range, const Range& own);

    c10::SmallVector<Range, 8> writes_;
    c10::SmallVector<Range, 8> reads_;
};

}  // namespace torch_ring
