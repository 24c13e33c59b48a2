// Refuses system calls to this process, as the seccomp profile of a container does.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ring/base/error.h"

namespace ring::testing {

// All calls of that number, or those whose argument has that value.
struct RefusedCall {
    struct Argument {
        unsigned index;
        unsigned value;
    };

    RefusedCall(int call) : number(static_cast<unsigned>(call)) {}
    RefusedCall(int call, Argument argument) : number(static_cast<unsigned>(call)), only(argument) {}

    unsigned number;
    std::optional<Argument> only;
};

// From now on these calls fail with `error` in this process, in all of its threads.
inline void refuse(const std::vector<RefusedCall>& calls, int error) {
    const auto load = [](size_t at) -> sock_filter {
        return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(at));
    };
    std::vector<sock_filter> filter;
    for (const RefusedCall& call : calls) {
        filter.push_back(load(offsetof(seccomp_data, nr)));
        const uint8_t past = call.only ? 3 : 1;
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.number, 0, past));
        if (call.only) {
            // Its lower half, which comes first on the machines that this library is for.
            filter.push_back(
                load(offsetof(seccomp_data, args) + call.only->index * sizeof(seccomp_data::args[0])));
            filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.only->value, 0, 1));
        }
        filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        throw_errno("seccomp");
}

}  // namespace ring::testing
