// See error.h.
#include "ring/base/error.h"

#include <cerrno>
#include <cstring>

namespace ring {

void throw_errno(const std::string& what) {
    const int code = errno;
    char text[128];
    throw Error(what + ": " + strerror_r(code, text, sizeof(text)) + " (errno " + std::to_string(code) + ")");
}

}  // namespace ring
