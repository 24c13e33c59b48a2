// NCCL, from 2.18 on: a table of its functions, filled when it is first needed. No header of NCCL is needed
// to build it; scripts/check_cuda compares it with theirs.
#pragma once

#include <climits>
#include <cstddef>
#include <optional>
#include <string>

#include "ring/base/dtype.h"
#include "ring/base/reduce_op.h"
#include "ring/device/cuda_runtime.h"
#include "ring/device/library.h"

struct ncclComm;

namespace ring::nccl {

using Comm = ncclComm*;
using Result = int;
using RedOp = int;
using DataType = int;

// The values of NCCL's own enumerations.
constexpr Result kSuccess = 0;
constexpr Result kUnhandledCudaError = 1;
constexpr Result kInvalidArgument = 4;
constexpr Result kInvalidUsage = 5;
constexpr Result kRemoteError = 6;
constexpr Result kInProgress = 7;
constexpr int kUndefinedInt = INT_MIN;
constexpr int kOldest = 21800;  // 2.18

struct UniqueId {
    char internal[128];
};

// ncclConfig_t as it was in 2.17: a newer NCCL takes its defaults for what this has not.
struct CommConfig {
    size_t size = sizeof(CommConfig);
    unsigned magic = 0xcafebeef;
    unsigned version = 21700;
    int blocking = kUndefinedInt;
    int cga_cluster_size = kUndefinedInt;
    int min_ctas = kUndefinedInt;
    int max_ctas = kUndefinedInt;
    const char* net_name = nullptr;
    int split_share = kUndefinedInt;
};

// How NCCL calls a dtype; none where it has no such numbers: it moves them as bytes, and cannot reduce them.
constexpr std::optional<DataType> data_type(DType dtype, int version) {
    constexpr int kFloat8Since = 22400;
    switch (dtype) {
        case DType::kInt8:
            return 0;
        case DType::kUInt8:
            return 1;
        case DType::kInt32:
            return 2;
        case DType::kUInt32:
            return 3;
        case DType::kInt64:
            return 4;
        case DType::kUInt64:
            return 5;
        case DType::kFloat16:
            return 6;
        case DType::kFloat32:
            return 7;
        case DType::kFloat64:
            return 8;
        case DType::kBFloat16:
            return 9;
        case DType::kFloat8E4M3FN:
            return version >= kFloat8Since ? std::optional(10) : std::nullopt;
        case DType::kFloat8E5M2:
            return version >= kFloat8Since ? std::optional(11) : std::nullopt;
        case DType::kUInt16:
        case DType::kInt16:
        case DType::kBool:
        case DType::kCount:
            break;
    }
    return std::nullopt;
}

// How it calls an op; none for those that it has not, and for PREMUL_SUM, whose op is made for each factor.
constexpr std::optional<RedOp> red_op(ReduceOp op) {
    switch (op) {
        case ReduceOp::kSum:
            return 0;
        case ReduceOp::kProduct:
            return 1;
        case ReduceOp::kMax:
            return 2;
        case ReduceOp::kMin:
            return 3;
        case ReduceOp::kAvg:
            return 4;
        case ReduceOp::kNone:
        case ReduceOp::kBand:
        case ReduceOp::kBor:
        case ReduceOp::kBxor:
        case ReduceOp::kPremulSum:
        case ReduceOp::kCount:
            break;
    }
    return std::nullopt;
}

// Immutable, so thread-safe. Members are NCCL's functions without their prefix.
class Api {
  public:
    // Looks for the library, once; what has failed is tried again. Throws ConfigError that says where it was
    // looked for, and what was found.
    static const Api& get();
    // For get(), and for tests.
    explicit Api(const LibrarySearch& search);

    const std::string& path() const { return library_.path(); }
    int version() const { return version_; }  // 22809 is 2.28.9
    std::string version_text() const;

    // Throws Error with NCCL's own words, of `comm` where there is one. kInProgress is no error.
    void check(Result result, const char* call, Comm comm = nullptr) const;

    Result (*get_version)(int* version);
    Result (*get_unique_id)(UniqueId* id);
    Result (*comm_init_rank_config)(Comm* comm, int ranks, UniqueId id, int rank, CommConfig* config);
    Result (*comm_finalize)(Comm comm);
    Result (*comm_destroy)(Comm comm);
    Result (*comm_abort)(Comm comm);
    Result (*comm_get_async_error)(Comm comm, Result* error);
    Result (*comm_count)(Comm comm, int* ranks);
    Result (*comm_user_rank)(Comm comm, int* rank);
    Result (*comm_cu_device)(Comm comm, int* device);
    const char* (*get_error_string)(Result result);
    const char* (*get_last_error)(Comm comm);
    Result (*red_op_create_pre_mul_sum)(RedOp* op, void* scalar, DataType type, int residence, Comm comm);
    Result (*red_op_destroy)(RedOp op, Comm comm);
    Result (*group_start)();
    Result (*group_end)();
    Result (*all_reduce)(const void* from, void* to, size_t count, DataType type, RedOp op, Comm comm,
                         cuda::Stream stream);
    Result (*reduce)(const void* from, void* to, size_t count, DataType type, RedOp op, int root, Comm comm,
                     cuda::Stream stream);
    Result (*broadcast)(const void* from, void* to, size_t count, DataType type, int root, Comm comm,
                        cuda::Stream stream);
    Result (*all_gather)(const void* from, void* to, size_t count, DataType type, Comm comm,
                         cuda::Stream stream);
    Result (*reduce_scatter)(const void* from, void* to, size_t count, DataType type, RedOp op, Comm comm,
                             cuda::Stream stream);
    Result (*send)(const void* from, size_t count, DataType type, int peer, Comm comm, cuda::Stream stream);
    Result (*recv)(void* to, size_t count, DataType type, int peer, Comm comm, cuda::Stream stream);

  private:
    Library library_;
    int version_ = 0;
};

}  // namespace ring::nccl
