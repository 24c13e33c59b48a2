// See log.h.
#include "ring/base/log.h"

#include <unistd.h>

#include "ring/base/config.h"

namespace ring {

void log(LogLevel level, const std::string& text) {
    if (level > config().log_level) return;
    constexpr const char* kNames[] = {"error", "warning", "info", "debug"};
    const std::string line =
        std::string("[torch_ring] ") + kNames[static_cast<int>(level)] + ": " + text + "\n";
    // A log line that cannot be written has nowhere to be reported.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace ring
