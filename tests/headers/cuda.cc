// Our constants, structures and prototypes beside those of CUDA's and NCCL's own headers. Compiled, not run,
// by scripts/check_cuda, which gets the headers.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <type_traits>

#include "ring/device/cuda_runtime.h"
#include "ring/device/nccl.h"

namespace {

using namespace ring;

// Whether arguments of these types are passed alike: enumerations are ints, pointers are pointers.
template <typename Ours, typename Theirs>
constexpr bool passed_alike = sizeof(Ours) == sizeof(Theirs) &&
                              std::is_pointer_v<Ours> == std::is_pointer_v<Theirs> &&
                              std::is_class_v<Ours> == std::is_class_v<Theirs>;

template <typename Ours, typename Theirs>
constexpr bool alike = false;
template <typename R1, typename... A1, typename R2, typename... A2>
    requires(sizeof...(A1) == sizeof...(A2))
constexpr bool alike<R1 (*)(A1...), R2 (*)(A2...)> = passed_alike<R1, R2> && (passed_alike<A1, A2> && ...);

#define SAME_FUNCTION(ours, theirs) static_assert(alike<decltype(ours), std::decay_t<decltype(theirs)>>, #theirs)
#define SAME_VALUE(ours, theirs) static_assert(static_cast<long long>(ours) == static_cast<long long>(theirs), #theirs)

using cuda::Runtime;
SAME_VALUE(cuda::kSuccess, cudaSuccess);
SAME_VALUE(cuda::kCudartUnloading, cudaErrorCudartUnloading);
SAME_VALUE(cuda::kInsufficientDriver, cudaErrorInsufficientDriver);
SAME_VALUE(cuda::kNoDevice, cudaErrorNoDevice);
SAME_VALUE(cuda::kNotReady, cudaErrorNotReady);
SAME_VALUE(cuda::Copy::kHostToDevice, cudaMemcpyHostToDevice);
SAME_VALUE(cuda::Copy::kDeviceToHost, cudaMemcpyDeviceToHost);
SAME_VALUE(cuda::Copy::kDeviceToDevice, cudaMemcpyDeviceToDevice);
SAME_VALUE(cuda::Capture::kNone, cudaStreamCaptureStatusNone);
SAME_VALUE(cuda::Capture::kActive, cudaStreamCaptureStatusActive);
SAME_VALUE(cuda::Capture::kInvalidated, cudaStreamCaptureStatusInvalidated);
SAME_VALUE(cuda::CaptureMode::kGlobal, cudaStreamCaptureModeGlobal);
SAME_VALUE(cuda::CaptureMode::kThreadLocal, cudaStreamCaptureModeThreadLocal);
SAME_VALUE(cuda::CaptureMode::kRelaxed, cudaStreamCaptureModeRelaxed);
SAME_VALUE(cuda::kHostAllocPortable, cudaHostAllocPortable);
SAME_VALUE(cuda::kStreamNonBlocking, cudaStreamNonBlocking);
SAME_VALUE(cuda::kEventDisableTiming, cudaEventDisableTiming);
static_assert(std::is_same_v<cuda::Stream, cudaStream_t> && std::is_same_v<cuda::Event, cudaEvent_t>);

SAME_FUNCTION(Runtime::get_device_count, cudaGetDeviceCount);
SAME_FUNCTION(Runtime::get_device, cudaGetDevice);
SAME_FUNCTION(Runtime::set_device, cudaSetDevice);
SAME_FUNCTION(Runtime::runtime_get_version, cudaRuntimeGetVersion);
SAME_FUNCTION(Runtime::driver_get_version, cudaDriverGetVersion);
SAME_FUNCTION(Runtime::get_error_name, cudaGetErrorName);
SAME_FUNCTION(Runtime::get_error_string, cudaGetErrorString);
SAME_FUNCTION(Runtime::get_last_error, cudaGetLastError);
SAME_FUNCTION(Runtime::stream_create_with_priority, cudaStreamCreateWithPriority);
SAME_FUNCTION(Runtime::device_get_stream_priority_range, cudaDeviceGetStreamPriorityRange);
SAME_FUNCTION(Runtime::stream_destroy, cudaStreamDestroy);
SAME_FUNCTION(Runtime::stream_wait_event, cudaStreamWaitEvent);
SAME_FUNCTION(Runtime::stream_is_capturing, cudaStreamIsCapturing);
SAME_FUNCTION(Runtime::stream_synchronize, cudaStreamSynchronize);
SAME_FUNCTION(Runtime::event_create_with_flags, cudaEventCreateWithFlags);
SAME_FUNCTION(Runtime::event_destroy, cudaEventDestroy);
SAME_FUNCTION(Runtime::event_record, cudaEventRecord);
SAME_FUNCTION(Runtime::event_query, cudaEventQuery);
SAME_FUNCTION(Runtime::event_synchronize, cudaEventSynchronize);
SAME_FUNCTION(Runtime::memcpy_async, cudaMemcpyAsync);
// Of these there are templates, too.
SAME_FUNCTION(Runtime::host_alloc, static_cast<cudaError_t (*)(void**, size_t, unsigned)>(cudaHostAlloc));
SAME_FUNCTION(Runtime::free_host, cudaFreeHost);
SAME_FUNCTION(Runtime::malloc, static_cast<cudaError_t (*)(void**, size_t)>(cudaMalloc));
SAME_FUNCTION(Runtime::free, cudaFree);
SAME_FUNCTION(Runtime::thread_exchange_stream_capture_mode, cudaThreadExchangeStreamCaptureMode);

using nccl::Api;
SAME_VALUE(nccl::kSuccess, ncclSuccess);
SAME_VALUE(nccl::kUnhandledCudaError, ncclUnhandledCudaError);
SAME_VALUE(nccl::kInvalidArgument, ncclInvalidArgument);
SAME_VALUE(nccl::kInvalidUsage, ncclInvalidUsage);
SAME_VALUE(nccl::kRemoteError, ncclRemoteError);
SAME_VALUE(nccl::kInProgress, ncclInProgress);
SAME_VALUE(*nccl::red_op(ReduceOp::kSum), ncclSum);
SAME_VALUE(*nccl::red_op(ReduceOp::kProduct), ncclProd);
SAME_VALUE(*nccl::red_op(ReduceOp::kMax), ncclMax);
SAME_VALUE(*nccl::red_op(ReduceOp::kMin), ncclMin);
SAME_VALUE(*nccl::red_op(ReduceOp::kAvg), ncclAvg);
constexpr auto type(DType dtype) {
    return *nccl::data_type(dtype, NCCL_VERSION_CODE);
}
SAME_VALUE(type(DType::kInt8), ncclInt8);
SAME_VALUE(type(DType::kUInt8), ncclUint8);
SAME_VALUE(type(DType::kInt32), ncclInt32);
SAME_VALUE(type(DType::kUInt32), ncclUint32);
SAME_VALUE(type(DType::kInt64), ncclInt64);
SAME_VALUE(type(DType::kUInt64), ncclUint64);
SAME_VALUE(type(DType::kFloat16), ncclFloat16);
SAME_VALUE(type(DType::kFloat32), ncclFloat32);
SAME_VALUE(type(DType::kFloat64), ncclFloat64);
SAME_VALUE(type(DType::kBFloat16), ncclBfloat16);
#if NCCL_VERSION_CODE >= 22400
SAME_VALUE(type(DType::kFloat8E4M3FN), ncclFloat8e4m3);
SAME_VALUE(type(DType::kFloat8E5M2), ncclFloat8e5m2);
#endif

static_assert(sizeof(nccl::UniqueId) == sizeof(ncclUniqueId));
static_assert(sizeof(nccl::CommConfig) <= sizeof(ncclConfig_t));
static_assert(offsetof(nccl::CommConfig, magic) == offsetof(ncclConfig_t, magic));
static_assert(offsetof(nccl::CommConfig, version) == offsetof(ncclConfig_t, version));
static_assert(offsetof(nccl::CommConfig, blocking) == offsetof(ncclConfig_t, blocking));
static_assert(offsetof(nccl::CommConfig, cga_cluster_size) == offsetof(ncclConfig_t, cgaClusterSize));
static_assert(offsetof(nccl::CommConfig, min_ctas) == offsetof(ncclConfig_t, minCTAs));
static_assert(offsetof(nccl::CommConfig, max_ctas) == offsetof(ncclConfig_t, maxCTAs));
static_assert(offsetof(nccl::CommConfig, net_name) == offsetof(ncclConfig_t, netName));
static_assert(offsetof(nccl::CommConfig, split_share) == offsetof(ncclConfig_t, splitShare));
constexpr ncclConfig_t kTheirs = NCCL_CONFIG_INITIALIZER;
SAME_VALUE(nccl::CommConfig{}.magic, kTheirs.magic);
SAME_VALUE(nccl::CommConfig{}.blocking, kTheirs.blocking);
SAME_VALUE(nccl::CommConfig{}.max_ctas, kTheirs.maxCTAs);

SAME_FUNCTION(Api::get_version, ncclGetVersion);
SAME_FUNCTION(Api::get_unique_id, ncclGetUniqueId);
SAME_FUNCTION(Api::comm_init_rank_config, ncclCommInitRankConfig);
SAME_FUNCTION(Api::comm_finalize, ncclCommFinalize);
SAME_FUNCTION(Api::comm_destroy, ncclCommDestroy);
SAME_FUNCTION(Api::comm_abort, ncclCommAbort);
SAME_FUNCTION(Api::comm_get_async_error, ncclCommGetAsyncError);
SAME_FUNCTION(Api::comm_count, ncclCommCount);
SAME_FUNCTION(Api::comm_user_rank, ncclCommUserRank);
SAME_FUNCTION(Api::comm_cu_device, ncclCommCuDevice);
SAME_FUNCTION(Api::get_error_string, ncclGetErrorString);
SAME_FUNCTION(Api::get_last_error, ncclGetLastError);
SAME_FUNCTION(Api::red_op_create_pre_mul_sum, ncclRedOpCreatePreMulSum);
SAME_FUNCTION(Api::red_op_destroy, ncclRedOpDestroy);
SAME_FUNCTION(Api::group_start, ncclGroupStart);
SAME_FUNCTION(Api::group_end, ncclGroupEnd);
SAME_FUNCTION(Api::all_reduce, ncclAllReduce);
SAME_FUNCTION(Api::reduce, ncclReduce);
SAME_FUNCTION(Api::broadcast, ncclBroadcast);
SAME_FUNCTION(Api::all_gather, ncclAllGather);
SAME_FUNCTION(Api::reduce_scatter, ncclReduceScatter);
SAME_FUNCTION(Api::send, ncclSend);
SAME_FUNCTION(Api::recv, ncclRecv);

}  // namespace
