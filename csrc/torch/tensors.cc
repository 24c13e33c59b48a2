// See tensors.h.
#include "torch/tensors.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

namespace torch_ring {
namespace {

std::optional<ring::DType> dtype_of(c10::ScalarType type) {
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

}  // namespace

Moved moved_as(const at::Tensor& tensor) {
    if (const auto dtype = dtype_of(tensor.scalar_type()))
        return {*dtype, static_cast<uint64_t>(tensor.numel())};
    return {ring::DType::kUInt8, static_cast<uint64_t>(tensor.nbytes())};
}

ring::ReduceOp reduce_op(const c10d::ReduceOp& op) {
    switch (op.op_) {
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
            C10_THROW_ERROR(ValueError, "ring: this is none of torch's reduce ops");
    }
}

at::Tensor reducible(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective) {
    const ring::ReduceOp reduce = reduce_op(op);
    const bool adds = reduce == ring::ReduceOp::kSum || reduce == ring::ReduceOp::kAvg ||
                      reduce == ring::ReduceOp::kPremulSum;
    if (adds && tensor.is_complex()) return at::view_as_real(tensor);
    TORCH_CHECK_TYPE(dtype_of(tensor.scalar_type()), "ring: ", collective, " cannot reduce tensors of dtype ",
                     tensor.scalar_type(), " by ", ring::name_of(reduce));
    return tensor;
}

at::Tensor contribution(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective) {
    if (op.op_ != c10d::ReduceOp::PREMUL_SUM) return tensor;
    const auto* const given = static_cast<c10d::PreMulSumSupplement*>(op.supplement_.get());
    TORCH_CHECK_VALUE(given != nullptr, "ring: ", collective, " with PREMUL_SUM but without a factor");
    return tensor.mul(given->tensor_factor.defined() ? given->tensor_factor.item()
                                                     : at::Scalar(given->double_factor));
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

at::Tensor& only(std::vector<at::Tensor>& tensors, const char* collective) {
    TORCH_CHECK_VALUE(tensors.size() == 1, "ring: ", collective, " takes one tensor per call, not ",
                      tensors.size());
    return tensors[0];
}

std::vector<at::Tensor>& only(std::vector<std::vector<at::Tensor>>& tensors, const char* collective) {
    TORCH_CHECK_VALUE(tensors.size() == 1, "ring: ", collective, " takes one list of tensors per call, not ",
                      tensors.size());
    return tensors[0];
}

at::Tensor Staging::read(const at::Tensor& tensor) {
    const at::Tensor contiguous = tensor.contiguous();
    kept_.push_back(contiguous);
    return contiguous;
}

at::Tensor Staging::write(const at::Tensor& tensor) {
    const at::Tensor contiguous = tensor.contiguous();
    if (contiguous.is_same(tensor)) {
        kept_.push_back(contiguous);
    } else {
        written_.emplace_back(tensor, contiguous);
    }
    return contiguous;
}

void Staging::write_back() const {
    for (const auto& [callers, stand_in] : written_) callers.copy_(stand_in);
}

}  // namespace torch_ring
