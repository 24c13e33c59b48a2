// What goes over a link: frames. A fixed header, checked field by field against what the receiver expects,
// then payload.
#pragma once

#include <cstdint>

#include "ring/base/signature.h"

namespace ring {

constexpr uint32_t kFrameMagic = 0x474e4952;  // "RING"
constexpr uint16_t kProtocolVersion = 9;

struct FrameHeader {
    uint32_t magic = kFrameMagic;
    uint16_t version = kProtocolVersion;
    uint16_t reserved0 = 0;
    uint64_t group = 0;  // a random number that rank 0 drew for the group
    uint64_t operation = 0;
    Signature signature;
    uint64_t index = 0;    // of the frame among all of this direction of the link, from 1
    uint64_t length = 0;   // bytes of payload that follow
    uint64_t history = 0;  // of what the sender had called before, see with_call() in base/mismatch.h

    bool operator==(const FrameHeader&) const = default;
};
static_assert(sizeof(FrameHeader) == 64);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "frames are sent as they lie in memory, little-endian");

}  // namespace ring
