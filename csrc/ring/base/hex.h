// Bytes as text.
#pragma once

#include <string>
#include <string_view>

namespace ring {

// Two lower-case digits per byte.
inline std::string hex(std::string_view bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    std::string text;
    for (const char byte : bytes) {
        text += kDigits[static_cast<unsigned char>(byte) >> 4];
        text += kDigits[static_cast<unsigned char>(byte) & 15];
    }
    return text;
}

}  // namespace ring
