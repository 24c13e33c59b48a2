// An NCCL without a GPU, so far as its table is looked at: it has a version, FAKE_NCCL_VERSION, and says of
// every call that it cannot be made. Loaded through the table of csrc/ring/device/nccl.h.
#include <cstdlib>

#include "ring/device/nccl.h"

using ring::nccl::Comm;
using ring::nccl::CommConfig;
using ring::nccl::DataType;
using ring::nccl::RedOp;
using ring::nccl::Result;
using ring::nccl::UniqueId;

namespace {

constexpr Result kCannot = ring::nccl::kUnhandledCudaError;

}  // namespace

extern "C" {

Result ncclGetVersion(int* version) {
    const char* const given = std::getenv("FAKE_NCCL_VERSION");
    *version = given == nullptr ? 22809 : std::atoi(given);
    return ring::nccl::kSuccess;
}

const char* ncclGetErrorString(Result result) {
    return result == ring::nccl::kUnhandledCudaError ? "unhandled cuda error" : "unknown result";
}

const char* ncclGetLastError(Comm) {
    return "CUDA driver version is insufficient";
}

Result ncclGetUniqueId(UniqueId* id) {
    *id = {};
    return ring::nccl::kSuccess;
}

Result ncclCommInitRankConfig(Comm*, int, UniqueId, int, CommConfig*) {
    return kCannot;
}

Result ncclCommFinalize(Comm) {
    return kCannot;
}
Result ncclCommDestroy(Comm) {
    return kCannot;
}
Result ncclCommAbort(Comm) {
    return kCannot;
}
Result ncclCommGetAsyncError(Comm, Result*) {
    return kCannot;
}
Result ncclCommCount(Comm, int*) {
    return kCannot;
}
Result ncclCommUserRank(Comm, int*) {
    return kCannot;
}
Result ncclCommCuDevice(Comm, int*) {
    return kCannot;
}
Result ncclRedOpCreatePreMulSum(RedOp*, void*, DataType, int, Comm) {
    return kCannot;
}
Result ncclRedOpDestroy(RedOp, Comm) {
    return kCannot;
}
Result ncclGroupStart() {
    return kCannot;
}
Result ncclGroupEnd() {
    return kCannot;
}
Result ncclAllReduce(const void*, void*, size_t, DataType, RedOp, Comm, ring::cuda::Stream) {
    return kCannot;
}
Result ncclReduce(const void*, void*, size_t, DataType, RedOp, int, Comm, ring::cuda::Stream) {
    return kCannot;
}
Result ncclBroadcast(const void*, void*, size_t, DataType, int, Comm, ring::cuda::Stream) {
    return kCannot;
}
Result ncclAllGather(const void*, void*, size_t, DataType, Comm, ring::cuda::Stream) {
    return kCannot;
}
Result ncclReduceScatter(const void*, void*, size_t, DataType, RedOp, Comm, ring::cuda::Stream) {
    return kCannot;
}
Result ncclSend(const void*, size_t, DataType, int, Comm, ring::cuda::Stream) {
    return kCannot;
}
Result ncclRecv(void*, size_t, DataType, int, Comm, ring::cuda::Stream) {
    return kCannot;
}

}  // extern "C"
