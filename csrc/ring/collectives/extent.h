// Lists of memory ranges that an algorithm treats as one, and how they are cut into chunks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ring {

// A range of memory. A null `data` in a list that is written to means: nobody here wants these bytes.
struct Extent {
    std::byte* data;
    size_t bytes;
};
using Extents = std::vector<Extent>;

inline size_t total_bytes(const Extents& extents) {
    size_t sum = 0;
    for (const Extent& extent : extents) sum += extent.bytes;
    return sum;
}

// Calls visit(pointer, bytes, offset from `begin`) for the parts of [begin, begin + length) of the
// concatenation.
template <typename Visit>
void for_each_part(const Extents& extents, size_t begin, size_t length, Visit visit) {
    const size_t end = begin + length;
    size_t at = 0;
    for (const Extent& extent : extents) {
        const size_t from = std::max(begin, at);
        const size_t to = std::min(end, at + extent.bytes);
        if (from < to)
            visit(extent.data == nullptr ? nullptr : extent.data + (from - at), to - from, from - begin);
        at += extent.bytes;
        if (at >= end) break;
    }
}

// Bytes of chunk `index` when `total` bytes are cut into chunks of `chunk`; 0 past the end.
inline size_t chunk_length(size_t total, size_t chunk, size_t index) {
    const size_t begin = index * chunk;
    return begin >= total ? 0 : std::min(chunk, total - begin);
}

// The frames of at most `chunk` bytes that carry an extent list: at least one, so that every step of every
// rank shows its header.
inline Extents frames_of(const Extents& part, size_t chunk) {
    Extents frames;
    for (const Extent& extent : part) {
        size_t at = 0;
        do {
            const size_t bytes = std::min(chunk, extent.bytes - at);
            frames.push_back({extent.data + at, bytes});
            at += bytes;
        } while (at < extent.bytes);
    }
    if (frames.empty()) frames.push_back({nullptr, 0});
    return frames;
}

// The list that begins at `data` and is cut like `like`, where elements of `element` bytes stand for such of
// `like_element`.
inline Extents cut_alike(std::byte* data, const Extents& like, size_t element, size_t like_element) {
    Extents extents;
    for (const Extent& one : like) {
        extents.push_back({data, one.bytes / like_element * element});
        data += extents.back().bytes;
    }
    return extents;
}

// Slices are cut at multiples of a cache line, so that two ranks never write the same one.
constexpr size_t kGrainBytes = 64;

// The `index`-th of `parts` nearly equal slices of `count` elements, cut at multiples of `grain` elements.
struct Slice {
    size_t begin;
    size_t count;
};
inline Slice slice_of(size_t count, size_t parts, size_t index, size_t grain) {
    const size_t grains = (count + grain - 1) / grain;
    const size_t per_part = (grains + parts - 1) / parts * grain;
    const size_t begin = std::min(count, per_part * index);
    return {begin, std::min(per_part, count - begin)};
}

// Part `index` of `parts` of an array, of `count` elements of `element` bytes.
inline Extent slice_extent(std::byte* data, size_t element, size_t count, size_t parts, size_t index) {
    const Slice slice = slice_of(count, parts, index, kGrainBytes / element);
    return {data + slice.begin * element, slice.count * element};
}

}  // namespace ring
