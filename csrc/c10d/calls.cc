// See calls.h.
#include "c10d/calls.h"

#include "c10d/errors.h"
#include "c10d/tensors.h"

namespace torch_ring {
namespace {

ring::Arguments& add(RingWork::Call& call, ring::Collective kind, const Moved& moved) {
    ring::Arguments& arguments = call.arguments.emplace_back();
    arguments.signature.kind = kind;
    arguments.signature.dtype = moved.dtype;
    arguments.signature.count = moved.count;
    arguments.signature.op = ring::ReduceOp::kNone;
    return arguments;
}

void check_dtypes(const at::Tensor& one, const at::Tensor& other, const char* collective) {
    RING_CHECK_TYPE(one.scalar_type() == other.scalar_type(), collective, " of tensors of different dtypes, ",
                    one.scalar_type(), " and ", other.scalar_type());
}

void check_alike(const at::Tensor& one, const at::Tensor& other, const char* collective) {
    check_dtypes(one, other, collective);
    RING_CHECK_VALUE(one.numel() == other.numel(), collective, " of tensors of different sizes, ",
                     one.numel(), " and ", other.numel(), " elements");
}

void check_length(const Tensors& list, int ranks, const char* collective) {
    RING_CHECK_VALUE(list.size() == static_cast<size_t>(ranks), collective, " with ", list.size(),
                     " tensors in a group of ", ranks, " ranks");
}

// Whether the group has such a rank is checked later; here, that no number turns into another one.
int32_t root_of(int64_t root, const char* collective) {
    RING_CHECK_VALUE(root == static_cast<int32_t>(root), collective, " with root ", root,
                     ", which is no rank of the group");
    return static_cast<int32_t>(root);
}

// Splits one contiguous tensor into the addresses of `ranks` equal parts.
template <typename Pointer>
std::vector<Pointer> parts_of(const at::Tensor& tensor, int ranks) {
    std::vector<Pointer> parts;
    const size_t bytes = tensor.nbytes() / static_cast<size_t>(ranks);
    for (int r = 0; r < ranks; ++r) parts.push_back(static_cast<char*>(tensor.data_ptr()) + r * bytes);
    return parts;
}

// The part of each rank of one side of an all_to_all_single, in elements.
std::vector<uint64_t> counts_of(const at::Tensor& tensor, const std::vector<int64_t>& splits, int ranks,
                                const char* which) {
    const int64_t rows = tensor.dim() == 0 ? 1 : tensor.size(0);
    const auto elements = static_cast<uint64_t>(moved_as(tensor).count);
    const uint64_t per_row = rows == 0 ? 0 : elements / static_cast<uint64_t>(rows);
    if (splits.empty()) {
        RING_CHECK_VALUE(rows % ranks == 0, "all_to_all_single with an ", which, " of ", rows,
                         " rows, which cannot be split evenly over ", ranks, " ranks");
        return std::vector<uint64_t>(ranks, elements / static_cast<uint64_t>(ranks));
    }
    RING_CHECK_VALUE(splits.size() == static_cast<size_t>(ranks), "all_to_all_single with ", splits.size(),
                     " ", which, " splits in a group of ", ranks, " ranks");
    std::vector<uint64_t> counts;
    int64_t sum = 0;
    for (const int64_t split : splits) {
        RING_CHECK_VALUE(split >= 0, "all_to_all_single with a negative ", which, " split, ", split);
        counts.push_back(static_cast<uint64_t>(split) * per_row);
        sum += split;
    }
    RING_CHECK_VALUE(sum == rows, "all_to_all_single with ", which, " splits of ", sum,
                     " rows together, for a tensor of ", rows);
    return counts;
}

template <typename Pointer>
std::vector<Pointer> addresses_of(const at::Tensor& tensor, const std::vector<uint64_t>& counts,
                                  size_t element) {
    std::vector<Pointer> addresses;
    auto* at = static_cast<char*>(tensor.data_ptr());
    for (const uint64_t count : counts) {
        addresses.push_back(at);
        at += count * element;
    }
    return addresses;
}

}  // namespace

void add_all_reduce(RingWork::Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op) {
    constexpr const char* kName = "all_reduce";
    check_tensor(tensor, kName);
    auto& arguments = add(call, ring::Collective::kAllReduce, reduced_as(tensor, op, kName));
    arguments.signature.op = reduce_op(op);
    const at::Tensor numbers = call.staging.write(tensor, kName);
    arguments.input = arguments.output = numbers.data_ptr();
    if (const at::Tensor mine = contribution(numbers, op, kName); !mine.is_same(numbers))
        arguments.input = call.staging.read(mine).data_ptr();
}

void add_reduce(RingWork::Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op, int64_t root,
                int rank) {
    constexpr const char* kName = "reduce";
    check_tensor(tensor, kName);
    auto& arguments = add(call, ring::Collective::kReduce, reduced_as(tensor, op, kName));
    arguments.signature.op = reduce_op(op);
    arguments.signature.root = root_of(root, kName);
    const at::Tensor numbers = root == rank ? call.staging.write(tensor, kName) : call.staging.read(tensor);
    arguments.input = numbers.data_ptr();
    if (root == rank) arguments.output = numbers.data_ptr();
    if (const at::Tensor mine = contribution(numbers, op, kName); !mine.is_same(numbers))
        arguments.input = call.staging.read(mine).data_ptr();
}

void add_broadcast(RingWork::Call& call, const at::Tensor& tensor, int64_t root, int rank) {
    constexpr const char* kName = "broadcast";
    check_tensor(tensor, kName);
    auto& arguments = add(call, ring::Collective::kBroadcast, moved_as(tensor));
    arguments.signature.root = root_of(root, kName);
    const at::Tensor numbers = root == rank ? call.staging.read(tensor) : call.staging.write(tensor, kName);
    arguments.output = numbers.data_ptr();
}

void add_all_gather(RingWork::Call& call, const Tensors& outputs, const at::Tensor& input, int rank,
                    int ranks) {
    constexpr const char* kName = "all_gather";
    check_tensor(input, kName);
    check_length(outputs, ranks, kName);
    bool even = true;
    uint64_t total = 0;
    for (const at::Tensor& output : outputs) {
        check_tensor(output, kName);
        check_dtypes(output, input, kName);
        even = even && output.numel() == input.numel();
        total += moved_as(output).count;
    }
    check_alike(outputs[rank], input, kName);
    auto& arguments = add(call, ring::Collective::kAllGather, moved_as(input));
    arguments.input = call.staging.read(input).data_ptr();
    for (const at::Tensor& output : outputs)
        arguments.outputs.push_back(call.staging.write(output, kName).data_ptr());
    if (even) return;
    arguments.signature.count = total;
    arguments.signature.uneven = 1;
    for (const at::Tensor& output : outputs) arguments.output_counts.push_back(moved_as(output).count);
}

void add_all_gather_into(RingWork::Call& call, const at::Tensor& output, const at::Tensor& input, int ranks) {
    constexpr const char* kName = "all_gather_into_tensor";
    check_tensor(input, kName);
    check_tensor(output, kName);
    RING_CHECK_VALUE(output.scalar_type() == input.scalar_type() && output.numel() == input.numel() * ranks,
                     "all_gather_into_tensor of ", input.scalar_type(), "[", input.numel(), "] on ", ranks,
                     " ranks needs an output of ", input.numel() * ranks, " elements of the same dtype, not ",
                     output.scalar_type(), "[", output.numel(), "]");
    auto& arguments = add(call, ring::Collective::kAllGather, moved_as(input));
    arguments.input = call.staging.read(input).data_ptr();
    arguments.outputs = parts_of<void*>(call.staging.write(output, kName), ranks);
}

void add_reduce_scatter(RingWork::Call& call, const at::Tensor& output, const Tensors& inputs,
                        const c10d::ReduceOp& op, int rank, int ranks) {
    constexpr const char* kName = "reduce_scatter";
    check_tensor(output, kName);
    check_length(inputs, ranks, kName);
    bool even = true;
    for (const at::Tensor& input : inputs) {
        check_tensor(input, kName);
        check_dtypes(input, output, kName);
        even = even && input.numel() == inputs[0].numel();
    }
    check_alike(inputs[rank], output, kName);
    void* const sum = call.staging.write(output, kName).data_ptr();
    std::vector<const void*> shares;
    for (const at::Tensor& input : inputs)
        shares.push_back(call.staging.read(contribution(input, op, kName)).data_ptr());
    if (even) {
        auto& arguments = add(call, ring::Collective::kReduceScatter, reduced_as(output, op, kName));
        arguments.signature.op = reduce_op(op);
        arguments.inputs = std::move(shares);
        arguments.output = sum;
        return;
    }
    for (int r = 0; r < ranks; ++r) {
        auto& arguments = add(call, ring::Collective::kReduce, reduced_as(inputs[r], op, kName));
        arguments.signature.op = reduce_op(op);
        arguments.signature.root = r;
        arguments.input = shares[r];
        if (r == rank) arguments.output = sum;
    }
}

void add_reduce_scatter_tensor(RingWork::Call& call, const at::Tensor& output, const at::Tensor& input,
                               const c10d::ReduceOp& op, int ranks) {
    constexpr const char* kName = "reduce_scatter_tensor";
    check_tensor(input, kName);
    check_tensor(output, kName);
    RING_CHECK_VALUE(output.scalar_type() == input.scalar_type() && input.numel() == output.numel() * ranks,
                     "reduce_scatter_tensor into ", output.scalar_type(), "[", output.numel(), "] on ", ranks,
                     " ranks needs an input of ", output.numel() * ranks, " elements of the same dtype, not ",
                     input.scalar_type(), "[", input.numel(), "]");
    auto& arguments = add(call, ring::Collective::kReduceScatter, reduced_as(output, op, kName));
    arguments.signature.op = reduce_op(op);
    arguments.output = call.staging.write(output, kName).data_ptr();
    arguments.inputs = parts_of<const void*>(call.staging.read(contribution(input, op, kName)), ranks);
}

void add_gather(RingWork::Call& call, const Tensors& outputs, const at::Tensor& input, int64_t root, int rank,
                int ranks) {
    constexpr const char* kName = "gather";
    check_tensor(input, kName);
    auto& arguments = add(call, ring::Collective::kGather, moved_as(input));
    arguments.signature.root = root_of(root, kName);
    arguments.input = call.staging.read(input).data_ptr();
    if (root != rank) {
        RING_CHECK_VALUE(outputs.empty(), "gather with outputs on rank ", rank, ", which is not the root, ",
                         root);
        return;
    }
    check_length(outputs, ranks, kName);
    for (const at::Tensor& output : outputs) {
        check_tensor(output, kName);
        check_alike(output, input, kName);
        arguments.outputs.push_back(call.staging.write(output, kName).data_ptr());
    }
}

void add_scatter(RingWork::Call& call, const at::Tensor& output, const Tensors& inputs, int64_t root,
                 int rank, int ranks) {
    constexpr const char* kName = "scatter";
    check_tensor(output, kName);
    auto& arguments = add(call, ring::Collective::kScatter, moved_as(output));
    arguments.signature.root = root_of(root, kName);
    arguments.output = call.staging.write(output, kName).data_ptr();
    if (root != rank) {
        RING_CHECK_VALUE(inputs.empty(), "scatter with inputs on rank ", rank, ", which is not the root, ",
                         root);
        return;
    }
    check_length(inputs, ranks, kName);
    for (const at::Tensor& input : inputs) {
        check_tensor(input, kName);
        check_alike(input, output, kName);
        arguments.inputs.push_back(call.staging.read(input).data_ptr());
    }
}

void add_all_to_all(RingWork::Call& call, const Tensors& outputs, const Tensors& inputs, int ranks) {
    constexpr const char* kName = "all_to_all";
    check_length(outputs, ranks, kName);
    check_length(inputs, ranks, kName);
    for (const Tensors* const list : {&outputs, &inputs})
        for (const at::Tensor& tensor : *list) {
            check_tensor(tensor, kName);
            check_dtypes(tensor, outputs[0], kName);
        }
    auto& arguments = add(call, ring::Collective::kAllToAll, {moved_as(outputs[0]).dtype, 0});
    for (const at::Tensor& input : inputs) {
        arguments.inputs.push_back(call.staging.read(input).data_ptr());
        arguments.input_counts.push_back(moved_as(input).count);
    }
    for (const at::Tensor& output : outputs) {
        arguments.outputs.push_back(call.staging.write(output, kName).data_ptr());
        arguments.output_counts.push_back(moved_as(output).count);
    }
}

void add_all_to_all_single(RingWork::Call& call, const at::Tensor& output, const at::Tensor& input,
                           const std::vector<int64_t>& output_splits,
                           const std::vector<int64_t>& input_splits, int ranks) {
    constexpr const char* kName = "all_to_all_single";
    check_tensor(output, kName);
    check_tensor(input, kName);
    check_dtypes(output, input, kName);
    auto& arguments = add(call, ring::Collective::kAllToAll, {moved_as(output).dtype, 0});
    const size_t element = ring::size_of(arguments.signature.dtype);
    arguments.input_counts = counts_of(input, input_splits, ranks, "input");
    arguments.output_counts = counts_of(output, output_splits, ranks, "output");
    arguments.inputs = addresses_of<const void*>(call.staging.read(input), arguments.input_counts, element);
    arguments.outputs =
        addresses_of<void*>(call.staging.write(output, kName), arguments.output_counts, element);
}

void add_send(RingWork::Call& call, const at::Tensor& tensor, int to, int tag) {
    check_tensor(tensor, "send");
    auto& arguments = add(call, ring::Collective::kSend, moved_as(tensor));
    call.message = true;
    arguments.signature.root = to;
    arguments.tag = tag;
    arguments.input = call.staging.read(tensor).data_ptr();
}

void add_recv(RingWork::Call& call, const at::Tensor& tensor, int from, int tag) {
    check_tensor(tensor, "recv");
    auto& arguments = add(call, ring::Collective::kRecv, moved_as(tensor));
    call.message = true;
    arguments.signature.root = from;
    arguments.tag = tag;
    arguments.output = call.staging.write(tensor, "recv").data_ptr();
}

void add_barrier(RingWork::Call& call) {
    add(call, ring::Collective::kBarrier, {ring::DType::kUInt8, 0});
}

}  // namespace torch_ring
