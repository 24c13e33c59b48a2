// Tests of the reductions (csrc/ring/kernels): every element type, operation and instruction set against a
// scalar reference that is written here from the contract in reduce.h, bit for bit.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "ring/base/error.h"
#include "ring/kernels/reduce.h"
#include "ring/kernels/reduce_isa.h"

namespace ring {
namespace {

// ---- the reference --------------------------------------------------------------------------------------

// A floating format of 16 bits or less. Without infinity, a full exponent field is one exponent more, and
// only the pattern of all ones is NaN.
struct Format {
    int exponent_bits;
    int fraction_bits;
    bool infinity = true;

    int bias() const { return (1 << (exponent_bits - 1)) - 1; }
    int sign() const { return 1 << (exponent_bits + fraction_bits); }
    int largest() const {  // of all magnitudes' bits: infinity, or NaN
        return infinity ? ((1 << exponent_bits) - 1) << fraction_bits : sign() - 1;
    }
    int nan() const { return sign() == 0x80 ? 0x7F : largest() | 1 << (fraction_bits - 1); }
};
constexpr Format kHalf{5, 10};
constexpr Format kBrain{8, 7};
constexpr Format kE4M3FN{4, 3, false};
constexpr Format kE5M2{5, 2};

// The bits of `value`: rounded to nearest even; one bit pattern for every NaN.
uint16_t narrow(float value, const Format& format) {
    if (std::isnan(value)) return static_cast<uint16_t>(format.nan());
    const int sign = std::signbit(value) ? format.sign() : 0;
    const double magnitude = std::fabs(static_cast<double>(value));
    if (magnitude == 0) return static_cast<uint16_t>(sign);
    if (std::isinf(magnitude)) return static_cast<uint16_t>(sign | format.largest());
    const int exponent = std::max(std::ilogb(magnitude), 1 - format.bias());
    const int units =
        static_cast<int>(std::nearbyint(std::ldexp(magnitude, format.fraction_bits - exponent)));
    // The leading one of a normal number, or the carry of its rounding, counts the exponent field up.
    const int64_t bits = (static_cast<int64_t>(exponent + format.bias() - 1) << format.fraction_bits) + units;
    return static_cast<uint16_t>(sign | std::min<int64_t>(bits, format.largest()));
}

float widen(uint16_t bits, const Format& format) {
    const int fraction = bits & ((1 << format.fraction_bits) - 1);
    const int field = bits >> format.fraction_bits & ((1 << format.exponent_bits) - 1);
    double magnitude = std::ldexp(fraction, 1 - format.bias() - format.fraction_bits);
    if (field > 0)
        magnitude =
            std::ldexp(fraction + (1 << format.fraction_bits), field - format.bias() - format.fraction_bits);
    if ((bits & (format.sign() - 1)) >= format.largest())
        magnitude = format.infinity && fraction == 0 ? std::numeric_limits<double>::infinity()
                                                     : std::numeric_limits<double>::quiet_NaN();
    return static_cast<float>(bits & format.sign() ? -magnitude : magnitude);
}

template <class T>
T read(const uint8_t* from) {
    T value;
    std::memcpy(&value, from, sizeof(value));
    return value;
}

template <class T>
void write(uint8_t* to, T value) {
    std::memcpy(to, &value, sizeof(value));
}

// How one element is read, computed with (Acc) and written.
template <class T>
struct Element {
    using Acc = T;
    static T load(const uint8_t* from) { return read<T>(from); }
    static void store(uint8_t* to, T value) {
        if constexpr (std::is_floating_point_v<T>)
            if (std::isnan(value)) value = std::numeric_limits<T>::quiet_NaN();
        write(to, value);
    }
};

template <const Format& kFormat>
struct Small {
    using Acc = float;
    using Bits = std::conditional_t<kFormat.exponent_bits + kFormat.fraction_bits == 7, uint8_t, uint16_t>;
    static float load(const uint8_t* from) {
        static const std::vector<float> table = [] {
            std::vector<float> values;
            for (int bits = 0; bits <= std::numeric_limits<Bits>::max(); ++bits)
                values.push_back(widen(static_cast<uint16_t>(bits), kFormat));
            return values;
        }();
        return table[read<Bits>(from)];
    }
    static void store(uint8_t* to, float value) { write(to, static_cast<Bits>(narrow(value, kFormat))); }
};

template <class T>
T apply(ReduceOp op, T a, T b) {
    if constexpr (std::is_same_v<T, bool>) {
        switch (op) {
            case ReduceOp::kSum:
            case ReduceOp::kMax:
            case ReduceOp::kBor:
                return a || b;
            case ReduceOp::kBxor:
                return a != b;
            default:
                return a && b;
        }
    } else if constexpr (std::is_integral_v<T>) {
        switch (op) {  // in 64 bits, of which the lower ones are those of the narrower types
            case ReduceOp::kProduct:
                return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
            case ReduceOp::kMin:
                return std::min(a, b);
            case ReduceOp::kMax:
                return std::max(a, b);
            case ReduceOp::kBand:
                return static_cast<T>(a & b);
            case ReduceOp::kBor:
                return static_cast<T>(a | b);
            case ReduceOp::kBxor:
                return static_cast<T>(a ^ b);
            default:
                return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
        }
    } else {
        if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<T>::quiet_NaN();
        switch (op) {
            case ReduceOp::kProduct:
                return a * b;
            case ReduceOp::kMin:
                return b < a ? b : a;  // of two zeros the first
            case ReduceOp::kMax:
                return b > a ? b : a;
            default:
                return a + b;
        }
    }
}

template <class E>
std::vector<uint8_t> fold(ReduceOp op, const std::vector<const uint8_t*>& srcs, size_t size, size_t count,
                          size_t divisor) {
    using Acc = typename E::Acc;
    std::vector<uint8_t> result(count * size);
    for (size_t at = 0; at < result.size(); at += size) {
        Acc acc = E::load(srcs[0] + at);
        for (size_t k = 1; k < srcs.size(); ++k) acc = apply<Acc>(op, acc, E::load(srcs[k] + at));
        if constexpr (!std::is_same_v<Acc, bool>)
            if (divisor > 1) {
                using Wide = std::conditional_t<std::is_unsigned_v<Acc>, uint64_t,
                                                std::conditional_t<std::is_integral_v<Acc>, int64_t, Acc>>;
                acc = static_cast<Acc>(static_cast<Wide>(acc) / static_cast<Wide>(divisor));
            }
        E::store(result.data() + at, acc);
    }
    return result;
}

struct BoolElement {
    using Acc = bool;
    static bool load(const uint8_t* from) { return *from != 0; }
    static void store(uint8_t* to, bool value) { *to = value ? 1 : 0; }
};

std::vector<uint8_t> expected(DType dtype, ReduceOp op, const std::vector<const uint8_t*>& srcs, size_t count,
                              size_t divisor) {
    const size_t size = size_of(dtype);
    if (srcs.size() == 1 && divisor == 1 && dtype != DType::kBool)  // a copy: NaNs too
        return std::vector<uint8_t>(srcs[0], srcs[0] + count * size);
    switch (dtype) {
        case DType::kUInt8:
            return fold<Element<uint8_t>>(op, srcs, size, count, divisor);
        case DType::kInt8:
            return fold<Element<int8_t>>(op, srcs, size, count, divisor);
        case DType::kUInt16:
            return fold<Element<uint16_t>>(op, srcs, size, count, divisor);
        case DType::kInt16:
            return fold<Element<int16_t>>(op, srcs, size, count, divisor);
        case DType::kUInt32:
            return fold<Element<uint32_t>>(op, srcs, size, count, divisor);
        case DType::kInt32:
            return fold<Element<int32_t>>(op, srcs, size, count, divisor);
        case DType::kUInt64:
            return fold<Element<uint64_t>>(op, srcs, size, count, divisor);
        case DType::kInt64:
            return fold<Element<int64_t>>(op, srcs, size, count, divisor);
        case DType::kFloat16:
            return fold<Small<kHalf>>(op, srcs, size, count, divisor);
        case DType::kBFloat16:
            return fold<Small<kBrain>>(op, srcs, size, count, divisor);
        case DType::kFloat32:
            return fold<Element<float>>(op, srcs, size, count, divisor);
        case DType::kFloat64:
            return fold<Element<double>>(op, srcs, size, count, divisor);
        case DType::kBool:
            return fold<BoolElement>(op, srcs, size, count, divisor);
        case DType::kFloat8E4M3FN:
            return fold<Small<kE4M3FN>>(op, srcs, size, count, divisor);
        case DType::kFloat8E5M2:
            return fold<Small<kE5M2>>(op, srcs, size, count, divisor);
        case DType::kCount:
            break;
    }
    return {};
}

bool is_floating(DType dtype) {
    return (dtype >= DType::kFloat16 && dtype <= DType::kFloat64) || dtype >= DType::kFloat8E4M3FN;
}

bool makes_sense(DType dtype, ReduceOp op) {
    if (op == ReduceOp::kPremulSum) return is_floating(dtype);
    if (dtype == DType::kBool) return op != ReduceOp::kAvg;
    const bool bitwise = op == ReduceOp::kBand || op == ReduceOp::kBor || op == ReduceOp::kBxor;
    return !(is_floating(dtype) && bitwise);
}

// ---- the buffers ----------------------------------------------------------------------------------------

// Bytes that start `shift` bytes after a multiple of 64, with a margin on both sides that nobody may write
// to.
class Buffer {
  public:
    Buffer(size_t bytes, size_t shift) : storage_(bytes + 2 * kMargin, kMarker), bytes_(bytes) {
        const size_t misaligned = reinterpret_cast<uintptr_t>(storage_.data()) % 64;
        offset_ = 64 + (64 - misaligned) % 64 + shift;
    }
    uint8_t* data() { return storage_.data() + offset_; }
    void fill(const std::vector<uint8_t>& bytes) { std::copy(bytes.begin(), bytes.end(), data()); }
    std::vector<uint8_t> bytes() { return {data(), data() + bytes_}; }
    bool margins_intact() const {
        for (size_t i = 0; i < storage_.size(); ++i)
            if ((i < offset_ || i >= offset_ + bytes_) && storage_[i] != kMarker) return false;
        return true;
    }

  private:
    static constexpr size_t kMargin = 160;
    static constexpr uint8_t kMarker = 0xA5;
    std::vector<uint8_t> storage_;
    size_t bytes_;
    size_t offset_;
};

// The bits of +-0, the smallest and largest subnormal, the smallest normal, one, the largest finite number,
// infinity and NaNs (quiet and signalling, of several payloads), of a format that is given by its sizes.
std::vector<uint64_t> special_bits(int exponent_bits, int fraction_bits) {
    const uint64_t one = 1;
    const uint64_t infinity = ((one << exponent_bits) - 1) << fraction_bits;
    const uint64_t quiet = one << (fraction_bits - 1);
    std::vector<uint64_t> all = {0,
                                 1,
                                 (one << fraction_bits) - 1,
                                 one << fraction_bits,
                                 ((one << (exponent_bits - 1)) - 1) << fraction_bits,
                                 infinity - 1,
                                 infinity,
                                 infinity | 1,
                                 infinity | (quiet - 1),
                                 infinity | quiet,
                                 infinity | quiet | 5};
    for (size_t i = 0, n = all.size(); i < n; ++i)
        all.push_back(all[i] | one << (exponent_bits + fraction_bits));
    return all;
}

// A third random bits (of floats: of every magnitude), a third special values, a third of moderate size.
std::vector<uint8_t> random_elements(DType dtype, size_t count, std::mt19937_64& random) {
    const size_t size = size_of(dtype);
    std::vector<uint64_t> special = {0, 1, ~uint64_t{0}, uint64_t{1} << (8 * size - 1),
                                     (uint64_t{1} << (8 * size - 1)) - 1};
    if (dtype == DType::kFloat16) special = special_bits(5, 10);
    if (dtype == DType::kBFloat16) special = special_bits(8, 7);
    if (dtype == DType::kFloat32) special = special_bits(8, 23);
    if (dtype == DType::kFloat64) special = special_bits(11, 52);
    if (dtype == DType::kFloat8E4M3FN) special = special_bits(4, 3);
    if (dtype == DType::kFloat8E5M2) special = special_bits(5, 2);
    std::vector<uint8_t> bytes(count * size);
    for (size_t i = 0; i < count; ++i) {
        uint64_t bits = random();
        const float moderate = (static_cast<float>(random() % 20001) - 10000) / 64;
        if (const uint64_t kind = random() % 3; kind == 0) {
            bits = special[random() % special.size()];
        } else if (kind == 1) {
            bits = static_cast<uint64_t>(static_cast<int64_t>(moderate));
            if (dtype == DType::kFloat16) bits = narrow(moderate, kHalf);
            if (dtype == DType::kBFloat16) bits = narrow(moderate, kBrain);
            if (dtype == DType::kFloat8E4M3FN) bits = narrow(moderate, kE4M3FN);
            if (dtype == DType::kFloat8E5M2) bits = narrow(moderate, kE5M2);
            if (dtype == DType::kFloat32) std::memcpy(&bits, &moderate, sizeof(moderate));
            if (const double wide = moderate; dtype == DType::kFloat64)
                std::memcpy(&bits, &wide, sizeof(wide));
        }
        std::memcpy(bytes.data() + i * size, &bits, size);  // the lower bytes: the host is little-endian
    }
    return bytes;
}

std::string difference(const std::vector<uint8_t>& got, const std::vector<uint8_t>& want, size_t size) {
    for (size_t i = 0; i < want.size(); i += size)
        if (std::memcmp(&got[i], &want[i], size) != 0) {
            uint64_t g = 0, w = 0;
            std::memcpy(&g, &got[i], size);
            std::memcpy(&w, &want[i], size);
            char text[100];
            std::snprintf(text, sizeof(text), "element %zu is 0x%llx and should be 0x%llx", i / size,
                          static_cast<unsigned long long>(g), static_cast<unsigned long long>(w));
            return text;
        }
    return "";
}

// Runs every instruction set over `contents`, into a buffer of its own (alias < 0) or into source number
// `alias`.
void check(DType dtype, ReduceOp op, const std::vector<std::vector<uint8_t>>& contents, size_t divisor,
           const std::vector<uint8_t>& want, int alias) {
    const size_t size = size_of(dtype);
    std::vector<Buffer> buffers;  // at odd multiples of the element's size
    for (size_t k = 0; k <= contents.size(); ++k) buffers.emplace_back(want.size(), size * (k % 4 * 2 + 1));
    for (const std::string& isa : supported_isas()) {
        std::vector<const void*> srcs;
        for (size_t k = 0; k < contents.size(); ++k) {
            buffers[k].fill(contents[k]);
            srcs.push_back(buffers[k].data());
        }
        const size_t dst = alias < 0 ? contents.size() : static_cast<size_t>(alias);
        const ReduceFn reduce = reduce_function_of(isa, dtype, op);
        ASSERT_NE(reduce, nullptr) << isa;
        reduce(buffers[dst].data(), srcs.data(), srcs.size(), want.size() / size, divisor);
        ASSERT_EQ(difference(buffers[dst].bytes(), want, size), "")
            << isa << ", " << srcs.size() << " sources, " << want.size() / size << " elements, divisor "
            << divisor << ", dst is source " << alias;
        for (size_t k = 0; k <= contents.size(); ++k) {
            ASSERT_TRUE(buffers[k].margins_intact()) << isa << ": wrote beside buffer " << k;
            if (k != dst && k < contents.size()) {
                ASSERT_EQ(buffers[k].bytes(), contents[k]) << isa << ": wrote to source " << k;
            }
        }
    }
}

std::vector<uint8_t> expected(DType dtype, ReduceOp op, const std::vector<std::vector<uint8_t>>& contents,
                              size_t divisor) {
    std::vector<const uint8_t*> srcs;
    for (const std::vector<uint8_t>& content : contents) srcs.push_back(content.data());
    return expected(dtype, op, srcs, contents[0].size() / size_of(dtype), divisor);
}

// ---- every pair of type and operation -------------------------------------------------------------------

class Kernels : public testing::TestWithParam<std::tuple<int, int>> {
  protected:
    DType dtype() const { return static_cast<DType>(std::get<0>(GetParam())); }
    ReduceOp op() const { return static_cast<ReduceOp>(std::get<1>(GetParam())); }
};

TEST_P(Kernels, MatchTheReferenceOrAreAbsent) {
    for (const std::string& isa : supported_isas())
        EXPECT_EQ(reduce_function_of(isa, dtype(), op()) != nullptr, makes_sense(dtype(), op())) << isa;
    if (!makes_sense(dtype(), op())) return;
    std::mt19937_64 random(42);
    for (const size_t n_srcs : {1, 2, 3, 4, 5, 9})
        for (const size_t count :
             {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 256, 300, 1000, 4099}) {
            std::vector<std::vector<uint8_t>> contents;
            for (size_t k = 0; k < n_srcs; ++k) contents.push_back(random_elements(dtype(), count, random));
            for (const size_t divisor : {1, 2, 3, 7}) {
                if (divisor > 1 && dtype() == DType::kBool) continue;
                const std::vector<uint8_t> want = expected(dtype(), op(), contents, divisor);
                for (int alias = -1; alias < static_cast<int>(n_srcs); ++alias) {
                    check(dtype(), op(), contents, divisor, want, alias);
                    if (HasFatalFailure()) return;
                }
            }
        }
}

INSTANTIATE_TEST_SUITE_P(All, Kernels,
                         testing::Combine(testing::Range(0, static_cast<int>(DType::kCount)),
                                          testing::Range(0, static_cast<int>(ReduceOp::kCount))),
                         [](const testing::TestParamInfo<std::tuple<int, int>>& info) {
                             return std::string(name_of(static_cast<DType>(std::get<0>(info.param)))) + "_" +
                                    name_of(static_cast<ReduceOp>(std::get<1>(info.param)));
                         });

// ---- particular properties ------------------------------------------------------------------------------

std::vector<uint8_t> bytes_of(const std::vector<uint16_t>& values) {
    const auto* begin = reinterpret_cast<const uint8_t*>(values.data());
    return {begin, begin + 2 * values.size()};
}

// All pairs of patterns, by every operation.
TEST(Kernels8Bit, EveryPair) {
    std::vector<uint8_t> one(65536), other(65536);
    for (size_t i = 0; i < one.size(); ++i) {
        one[i] = static_cast<uint8_t>(i);
        other[i] = static_cast<uint8_t>(i >> 8);
    }
    const std::vector<std::vector<uint8_t>> contents = {one, other};
    for (const DType dtype : {DType::kFloat8E4M3FN, DType::kFloat8E5M2})
        for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kProduct, ReduceOp::kMin, ReduceOp::kMax})
            for (const size_t divisor : {1, 2, 3, 1024})
                check(dtype, op, contents, divisor, expected(dtype, op, contents, divisor), -1);
}

// All patterns through load and store, and every one paired with others by every operation.
TEST(Kernels16Bit, EveryPattern) {
    std::vector<uint16_t> all(65536);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
    for (const DType dtype : {DType::kFloat16, DType::kBFloat16})
        for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kProduct, ReduceOp::kMin, ReduceOp::kMax}) {
            for (const size_t divisor : {1, 2, 3, 1024}) {
                const std::vector<std::vector<uint8_t>> contents = {bytes_of(all)};
                check(dtype, op, contents, divisor, expected(dtype, op, contents, divisor), -1);
            }
            for (const uint32_t step : {1u, 3u, 257u, 7919u, 40503u, 65521u}) {  // odd: each is a permutation
                std::vector<uint16_t> other(all.size());
                for (size_t i = 0; i < all.size(); ++i) other[i] = static_cast<uint16_t>(i * step + step / 2);
                const std::vector<std::vector<uint8_t>> contents = {bytes_of(all), bytes_of(other)};
                check(dtype, op, contents, 1, expected(dtype, op, contents, 1), -1);
            }
        }
}

TEST(Kernels16Bit, RoundOnceAtTheEnd) {
    // 1 + 2^-9 + 2^-9 in bfloat16 (unit 2^-7): rounding after each step would lose both.
    const std::vector<uint16_t> one(100, 0x3F80), small(100, 0x3B00);
    for (const std::string& isa : supported_isas()) {
        std::vector<uint16_t> dst(100);
        const void* srcs[] = {one.data(), small.data(), small.data(), small.data(), small.data()};
        reduce_function_of(isa, DType::kBFloat16, ReduceOp::kSum)(dst.data(), srcs, 5, 100, 1);
        EXPECT_EQ(dst, std::vector<uint16_t>(100, 0x3F81)) << isa;
    }
}

// In stages, by way of float32, a reduction has the bits that it has as a whole.
TEST(KernelsSmall, StagesAgreeWithTheWhole) {
    std::mt19937_64 random(7);
    for (const DType dtype :
         {DType::kFloat16, DType::kBFloat16, DType::kFloat8E4M3FN, DType::kFloat8E5M2, DType::kFloat32})
        for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kAvg, ReduceOp::kProduct, ReduceOp::kMax})
            for (const size_t count : {size_t{1}, size_t{63}, size_t{64}, size_t{1000}}) {
                const size_t partial_size = size_of(partial_dtype(dtype, op));
                std::vector<std::vector<uint8_t>> sources(4, std::vector<uint8_t>(count * size_of(dtype)));
                for (auto& source : sources)
                    for (uint8_t& byte : source) byte = static_cast<uint8_t>(random());
                const void* const all[] = {sources[0].data(), sources[1].data(), sources[2].data(),
                                           sources[3].data()};
                const size_t divisor = op == ReduceOp::kAvg ? 4 : 1;
                for (const std::string& isa : supported_isas()) {
                    const auto in = [&](ReduceStage stage) {
                        return reduce_function_of(isa, dtype, op, stage);
                    };
                    std::vector<uint8_t> whole(count * size_of(dtype));
                    in(ReduceStage::kWhole)(whole.data(), all, 4, count, divisor);
                    std::vector<std::vector<uint8_t>> partials(3, std::vector<uint8_t>(count * partial_size));
                    in(ReduceStage::kFirst)(partials[0].data(), all, 2, count, 1);
                    in(ReduceStage::kFirst)(partials[1].data(), all + 2, 1, count, 1);
                    in(ReduceStage::kFirst)(partials[2].data(), all + 3, 1, count, 1);
                    const void* const next[] = {partials[0].data(), partials[1].data()};
                    in(ReduceStage::kNext)(partials[0].data(), next, 2, count, 1);
                    const void* const last[] = {partials[0].data(), partials[2].data()};
                    std::vector<uint8_t> staged(count * size_of(dtype));
                    in(ReduceStage::kLast)(staged.data(), last, 2, count, divisor);
                    ASSERT_EQ(staged, whole)
                        << name_of(dtype) << " " << name_of(op) << " " << count << " " << isa;
                }
            }
}

TEST(KernelsFloat, SumFromLeftToRight) {
    const std::vector<float> big(50, 1e8f), minus(50, -1e8f), one(50, 1.0f);
    for (const std::string& isa : supported_isas()) {
        const ReduceFn sum = reduce_function_of(isa, DType::kFloat32, ReduceOp::kSum);
        std::vector<float> dst(50);
        const void* cancel_first[] = {big.data(), minus.data(), one.data()};
        sum(dst.data(), cancel_first, 3, 50, 1);
        EXPECT_EQ(dst, std::vector<float>(50, 1.0f)) << isa;
        const void* cancel_last[] = {big.data(), one.data(), minus.data()};
        sum(dst.data(), cancel_last, 3, 50, 1);
        EXPECT_EQ(dst, std::vector<float>(50, 0.0f)) << isa;
    }
}

TEST(KernelsInteger, DivisorLargerThanTheType) {
    const std::vector<int8_t> src(200, -100);
    for (const std::string& isa : supported_isas()) {
        std::vector<int8_t> dst(200, 1);
        const void* srcs[] = {src.data()};
        reduce_function_of(isa, DType::kInt8, ReduceOp::kAvg)(dst.data(), srcs, 1, 200, 1000);
        EXPECT_EQ(dst, std::vector<int8_t>(200, 0)) << isa;
    }
}

// ---- the choice of the instruction set ------------------------------------------------------------------

TEST(KernelsIsa, UnknownNamesGiveNoFunction) {
    EXPECT_EQ(reduce_function_of("sse9", DType::kFloat32, ReduceOp::kSum), nullptr);
    for (const std::string& isa : supported_isas()) {
        EXPECT_EQ(reduce_function_of(isa, DType::kCount, ReduceOp::kSum), nullptr);
        EXPECT_EQ(reduce_function_of(isa, DType::kFloat32, ReduceOp::kCount), nullptr);
        EXPECT_EQ(reduce_function_of(isa, DType::kInt32, ReduceOp::kNone), nullptr);
    }
}

TEST(KernelsIsa, CurrentIsSupportedAndUsed) {
    const std::vector<std::string> isas = supported_isas();
    ASSERT_FALSE(isas.empty());
    EXPECT_EQ(isas.front(), "portable");
    EXPECT_NE(std::find(isas.begin(), isas.end(), current_isa()), isas.end());
    EXPECT_EQ(reduce_function(DType::kBFloat16, ReduceOp::kMax),
              reduce_function_of(current_isa(), DType::kBFloat16, ReduceOp::kMax));
    EXPECT_EQ(reduce_function(DType::kFloat32, ReduceOp::kBand), nullptr);
}

TEST(KernelsIsa, ChoiceDefaultsToTheFastest) {
    EXPECT_EQ(isa::choose("", {"portable", "avx2"}), "avx2");
    EXPECT_EQ(isa::choose("portable", {"portable", "avx2"}), "portable");
}

TEST(KernelsIsa, WrongChoiceNamesVariableValueAndAllowed) {
    try {
        isa::choose("avx512", {"portable", "avx2"});
        FAIL() << "accepted an instruction set that is not supported";
    } catch (const ConfigError& error) {
        const std::string what = error.what();
        EXPECT_NE(what.find("TORCH_RING_ISA=avx512"), std::string::npos) << what;
        EXPECT_NE(what.find("portable, avx2"), std::string::npos) << what;
    }
}

// In a process of its own: the choice is made once per process.
TEST(KernelsIsaDeathTest, EnvironmentIsRead) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    const auto exit_with_current = [](const char* value) {
        setenv("TORCH_RING_ISA", value, 1);
        try {
            std::cerr << "uses " << current_isa() << std::endl;
            _exit(0);
        } catch (const ConfigError& error) {
            std::cerr << error.what() << std::endl;
            _exit(3);
        }
    };
    EXPECT_EXIT(exit_with_current("portable"), testing::ExitedWithCode(0), "uses portable");
    EXPECT_EXIT(exit_with_current("sse9"), testing::ExitedWithCode(3), "TORCH_RING_ISA=sse9");
}

}  // namespace
}  // namespace ring
