// See error.h.
#include "ring/base/error.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ring {

std::string describe_errno(int code) {
    char buffer[128];
    std::string text =
        std::string(strerror_r(code, buffer, sizeof(buffer))) + " (errno " + std::to_string(code) + ")";
    if (code == EMFILE) {
        rlimit limit{};
        (void)::getrlimit(RLIMIT_NOFILE, &limit);
        // Other ranks may read it.
        text += "; process " + std::to_string(::getpid()) + " is out of descriptors: RLIMIT_NOFILE is " +
                std::to_string(limit.rlim_cur) + ", raise it (ulimit -n)";
    } else if (code == ENFILE) {
        text += "; this machine is out of descriptors: raise fs.file-max";
    }
    return text;
}

void throw_errno(const std::string& what) {
    throw Error(what + ": " + describe_errno(errno));
}

}  // namespace ring
