// Log lines on standard error: "[torch_ring] rank 2: ...". The level comes from TORCH_RING_LOG_LEVEL.
#pragma once

#include <string>

namespace ring {

enum class LogLevel { kError = 0, kWarning, kInfo, kDebug };

// Thread-safe; one write per line, so that lines of several ranks do not mix.
void log(LogLevel level, const std::string& text);

}  // namespace ring
