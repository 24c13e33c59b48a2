// See tensors.h.
#include "c10d/tensors.h"

#include <ATen/ops/item.h>
#include <ATen/ops/mul.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <algorithm>
#include <optional>

#include "c10d/errors.h"
#include "c10d/staging.h"

namespace torch_ring {
namespace {

#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 13
using PreMulSumSupplement = c10d::NCCLPreMulSumSupplement;
#else
using PreMulSumSupplement = c10d::PreMulSumSupplement;
#endif

constexpr std::optional<ring::DType> dtype_of(c10::ScalarType type) {
    switch (type) {
        case c10::kByte:
            return ring::DType::kUInt8;
        case c10::kChar:
            return ring::DType::kInt8;
        case c10::kUInt16:
            return ring::DType::kUInt16;
        case c10::kShort:
            return ring::DType::kInt16;
        case c10::kUInt32:
            return ring::DType::kUInt32;
        case c10::kInt:
            return ring::DType::kInt32;
        case c10::kUInt64:
            return ring::DType::kUInt64;
        case c10::kLong:
            return ring::DType::kInt64;
        case c10::kHalf:
            return ring::DType::kFloat16;
        case c10::kBFloat16:
            return ring::DType::kBFloat16;
        case c10::kFloat:
            return ring::DType::kFloat32;
        case c10::kDouble:
            return ring::DType::kFloat64;
        case c10::kBool:
            return ring::DType::kBool;
        case c10::kFloat8_e4m3fn:
            return ring::DType::kFloat8E4M3FN;
        case c10::kFloat8_e5m2:
            return ring::DType::kFloat8E5M2;
        default:
            return std::nullopt;
    }
}

constexpr std::optional<ring::ReduceOp> op_of(c10d::ReduceOp::RedOpType type) {
    switch (type) {
        case c10d::ReduceOp::SUM:
            return ring::ReduceOp::kSum;
        case c10d::ReduceOp::AVG:
            return ring::ReduceOp::kAvg;
        case c10d::ReduceOp::PRODUCT:
            return ring::ReduceOp::kProduct;
        case c10d::ReduceOp::MIN:
            return ring::ReduceOp::kMin;
        case c10d::ReduceOp::MAX:
            return ring::ReduceOp::kMax;
        case c10d::ReduceOp::BAND:
            return ring::ReduceOp::kBand;
        case c10d::ReduceOp::BOR:
            return ring::ReduceOp::kBor;
        case c10d::ReduceOp::BXOR:
            return ring::ReduceOp::kBxor;
        case c10d::ReduceOp::PREMUL_SUM:
            return ring::ReduceOp::kPremulSum;
        default:
            return std::nullopt;
    }
}

// Whether `kFind` gives `ours` for one of torch's values, which are less than `end`.
template <auto kFind, typename Ours, typename Theirs>
constexpr bool found(Ours ours, Theirs end) {
    for (int i = 0; i < static_cast<int>(end); ++i)
        if (kFind(static_cast<Theirs>(i)) == ours) return true;
    return false;
}
static_assert(std::ranges::all_of(ring::kDTypes, [](const auto& row) {
    return found<dtype_of>(row.dtype, c10::ScalarType::NumOptions);
}));
static_assert(std::ranges::all_of(ring::kReduceOps, [](const auto& row) {
    return found<op_of>(row.op, c10d::ReduceOp::UNUSED);
}));

}  // namespace

Moved moved_as(const at::Tensor& tensor) {
    if (const auto dtype = dtype_of(tensor.scalar_type()))
        return {*dtype, static_cast<uint64_t>(tensor.numel())};
    return {ring::DType::kUInt8, static_cast<uint64_t>(tensor.nbytes())};
}

ring::ReduceOp reduce_op(const c10d::ReduceOp& op) {
    if (const auto known = op_of(op.op_)) return *known;
    refuse_value("ring: this is none of torch's reduce ops");
}

Moved reduced_as(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective) {
    const ring::ReduceOp reduce = reduce_op(op);
    const auto count = static_cast<uint64_t>(tensor.numel());
    if (ring::traits_of(reduce).adds && tensor.is_complex())
        if (const auto real = dtype_of(c10::toRealValueType(tensor.scalar_type()))) return {*real, 2 * count};
    const auto dtype = dtype_of(tensor.scalar_type());
    RING_CHECK_TYPE(dtype, collective, " cannot reduce tensors of dtype ", tensor.scalar_type(), " by ",
                    ring::name_of(reduce));
    return {*dtype, count};
}

at::Tensor contribution(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective) {
    if (op.op_ != c10d::ReduceOp::PREMUL_SUM) return tensor;
    const auto* const given = static_cast<PreMulSumSupplement*>(op.supplement_.get());
    RING_CHECK_VALUE(given != nullptr, collective, " with PREMUL_SUM but without a factor");
    const at::Tensor& of_tensor = given->tensor_factor;
    RING_CHECK_VALUE(!of_tensor.defined() || of_tensor.numel() == 1, collective,
                     " with PREMUL_SUM and a factor of ", of_tensor.numel(), " elements; one is needed");
    const MemoryOnly here;
    const at::Scalar factor = of_tensor.defined() ? of_tensor.item() : at::Scalar(given->double_factor);
    RING_CHECK_TYPE(tensor.is_complex() || !factor.isComplex(), collective,
                    " with PREMUL_SUM of tensors of dtype ", tensor.scalar_type(), " and a complex factor");
    return tensor.mul(factor);
}

void check_tensor(const at::Tensor& tensor, const char* collective) {
    if (!tensor.device().is_cpu())
        C10_THROW_ERROR(NotImplementedError, std::string("ring: ") + collective + " of a tensor on " +
                                                 tensor.device().str() +
                                                 " is not there yet; CPU tensors only");
    if (tensor.layout() != c10::kStrided)
        C10_THROW_ERROR(NotImplementedError, std::string("ring: ") + collective +
                                                 " of sparse tensors is not there yet; dense tensors only");
}

at::Tensor& only(std::vector<at::Tensor>& tensors, const char* collective, const char* together) {
    RING_CHECK_VALUE(tensors.size() == 1, collective, " takes one tensor per call, not ", tensors.size(),
                     tensors.empty() ? "" : ": call it once for each", tensors.empty() ? "" : together);
    return tensors[0];
}

std::vector<at::Tensor>& only(std::vector<std::vector<at::Tensor>>& tensors, const char* collective) {
    RING_CHECK_VALUE(tensors.size() == 1, collective, " takes one list of tensors per call, not ",
                     tensors.size(), tensors.empty() ? "" : ": call it once for each");
    return tensors[0];
}

const std::vector<at::Tensor>& at_most_one(const std::vector<std::vector<at::Tensor>>& tensors,
                                           const char* collective) {
    static const std::vector<at::Tensor> none;
    RING_CHECK_VALUE(tensors.size() <= 1, collective, " takes one list of tensors per call, not ",
                     tensors.size(), ": call it once for each");
    return tensors.empty() ? none : tensors[0];
}

}  // namespace torch_ring
