// Copying between the caller's memory and the staging slots of the segment.
#pragma once

#include "ring/collectives/extent.h"
#include "ring/kernels/copy.h"

namespace ring {

// Copies chunk `index` out of the list into a slot that another core reads next.
inline void put_chunk(const Extents& extents, size_t chunk, size_t index, std::byte* slot) {
    for_each_part(extents, index * chunk, chunk, [&](const std::byte* part, size_t bytes, size_t offset) {
        copy_to_shared(slot + offset, part, bytes);
    });
}

// Copies chunk `index` into the list, out of a slot that another core wrote.
inline void get_chunk(const Extents& extents, size_t chunk, size_t index, const std::byte* slot) {
    for_each_part(extents, index * chunk, chunk, [&](std::byte* part, size_t bytes, size_t offset) {
        if (part != nullptr) copy(part, slot + offset, bytes);
    });
}

}  // namespace ring
