// See nccl.h.
#include "ring/device/nccl.h"

#include <memory>
#include <mutex>

#include "ring/base/config.h"
#include "ring/base/error.h"

namespace ring::nccl {
namespace {

// Encoded with two digits more since 2.9.
std::string text_of(int version) {
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
}

}  // namespace

const Api& Api::get() {
    static std::mutex mutex;  // guards what follows
    static std::unique_ptr<const Api> found;
    const std::lock_guard lock(mutex);
    if (found == nullptr)
        found = std::make_unique<const Api>(LibrarySearch{
            .what = "NCCL",
            .setting = "TORCH_RING_NCCL_LIB",
            .file = config().nccl_lib,
            .names = {"libnccl.so.2"},
            .folders = library_folders(),
            .remedy = "A torch that is built for CUDA brings it, and so does pip install torch-ring[cuda13], "
                      "or [cuda12]"});
    return *found;
}

Api::Api(const LibrarySearch& search) : library_(search) {
    library_.bind(get_error_string, "ncclGetErrorString");
    library_.bind(get_last_error, "ncclGetLastError");
    library_.bind(get_version, "ncclGetVersion");
    check(get_version(&version_), "ncclGetVersion");
    if (version_ < kOldest)
        throw ConfigError("NCCL " + version_text() + ", " + path() + ", is too old: " + text_of(kOldest) +
                          " or newer is needed; name another one by " + search.setting);
    library_.bind(get_unique_id, "ncclGetUniqueId");
    library_.bind(comm_init_rank_config, "ncclCommInitRankConfig");
    library_.bind(comm_finalize, "ncclCommFinalize");
    library_.bind(comm_destroy, "ncclCommDestroy");
    library_.bind(comm_abort, "ncclCommAbort");
    library_.bind(comm_get_async_error, "ncclCommGetAsyncError");
    library_.bind(comm_count, "ncclCommCount");
    library_.bind(comm_user_rank, "ncclCommUserRank");
    library_.bind(comm_cu_device, "ncclCommCuDevice");
    library_.bind(red_op_create_pre_mul_sum, "ncclRedOpCreatePreMulSum");
    library_.bind(red_op_destroy, "ncclRedOpDestroy");
    library_.bind(group_start, "ncclGroupStart");
    library_.bind(group_end, "ncclGroupEnd");
    library_.bind(all_reduce, "ncclAllReduce");
    library_.bind(reduce, "ncclReduce");
    library_.bind(broadcast, "ncclBroadcast");
    library_.bind(all_gather, "ncclAllGather");
    library_.bind(reduce_scatter, "ncclReduceScatter");
    library_.bind(send, "ncclSend");
    library_.bind(recv, "ncclRecv");
}

std::string Api::version_text() const {
    return text_of(version_);
}

void Api::check(Result result, const char* call, Comm comm) const {
    if (result == kSuccess || result == kInProgress) return;
    const char* const more = get_last_error(comm);
    throw Error(std::string(call) + ": " + get_error_string(result) + " (" + std::to_string(result) + ")" +
                (more == nullptr || *more == '\0' ? "" : ": " + std::string(more)));
}

}  // namespace ring::nccl
