// The data by which ring_perf checks a collective: each element is known from the rank that it came from and
// its place, so that a share in the wrong place is noticed too.
#pragma once

#include <cstddef>

#include "ring/base/dtype.h"
#include "ring/base/reduce_op.h"

namespace ring_perf {

// Writes elements `first`, `first` + 1, ... of what `rank` puts in.
void fill_pattern(void* data, size_t count, ring::DType dtype, int rank, size_t first = 0);

// Writes what no rank puts in.
void fill_poison(void* data, size_t bytes);

// How many of these elements are not those of `rank`, from `first` on.
size_t count_wrong(const void* data, size_t count, ring::DType dtype, int rank, size_t first = 0);
// How many of these elements are not the reduction over `ranks` ranks of elements `first`, `first` + 1, ...
// The kernel that computes it is checked by libring's own tests.
size_t count_wrong_reduced(const void* data, size_t count, ring::DType dtype, ring::ReduceOp op, int ranks,
                           size_t first = 0);

}  // namespace ring_perf
