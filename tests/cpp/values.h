// What tests send, and what they expect of it: quick to make and to compare. Under a sanitizer a loop over
// all elements takes several times as long as the collective under test.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace ring::testing {

// Whether ThreadSanitizer looks on. Who touches what when, it sees in a little data as well as in much, and
// much takes it minutes.
#ifdef __SANITIZE_THREAD__
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

// `of(i)` for each i, beginning again after kRepeat elements: a prime, so that what lands off its place by a
// power of two, or by whole chunks, is not what belongs there.
constexpr size_t kRepeat = 1009;

template <typename T, typename Of>
std::vector<T> repeated(size_t count, Of&& of) {
    std::vector<T> first(std::min(count, kRepeat));
    for (size_t i = 0; i < first.size(); ++i) first[i] = static_cast<T>(of(i));
    std::vector<T> all;
    all.reserve(count);
    while (all.size() < count)
        all.insert(all.end(), first.begin(), first.begin() + std::min(first.size(), count - all.size()));
    return all;
}

// Whether both have the same bits; if not, where they first differ. For ASSERT_TRUE.
template <typename T>
::testing::AssertionResult same(std::span<const T> actual, std::span<const T> expected) {
    if (actual.size() != expected.size())
        return ::testing::AssertionFailure() << actual.size() << " elements, not " << expected.size();
    if (actual.empty() || std::memcmp(actual.data(), expected.data(), actual.size_bytes()) == 0)
        return ::testing::AssertionSuccess();
    size_t i = 0;
    while (std::memcmp(&actual[i], &expected[i], sizeof(T)) == 0) ++i;
    return ::testing::AssertionFailure()
           << "element " << i << " of " << actual.size() << " is " << actual[i] << ", not " << expected[i];
}

template <typename T>
::testing::AssertionResult same(const std::vector<T>& actual, const std::vector<T>& expected) {
    return same(std::span<const T>(actual), std::span<const T>(expected));
}

}  // namespace ring::testing
