// The queues and copies that everything else rests on.
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "ring/base/fifo.h"
#include "ring/kernels/copy.h"

namespace ring {
namespace {

TEST(Fifo, AgreesWithADequeThroughAnyHistory) {
    std::mt19937 random(1);
    Fifo<int> fifo;
    std::deque<int> reference;
    for (int step = 0; step < 20'000; ++step) {
        // Grows in the first half, shrinks in the second.
        if (random() % 100 < (step < 10'000 ? 60u : 40u)) {
            reference.push_back(step);
            const uint64_t number = fifo.push(step);
            ASSERT_EQ(number, fifo.pushed());
        } else if (!reference.empty()) {
            ASSERT_EQ(fifo.front(), reference.front());
            reference.pop_front();
            fifo.pop();
        }
        ASSERT_EQ(fifo.size(), reference.size());
        for (size_t i = 0; i < reference.size() && step % 500 == 0; ++i)
            ASSERT_EQ(fifo.at(fifo.popped() + 1 + i), reference[i]);
    }
    fifo.clear();
    EXPECT_TRUE(fifo.empty());
    const uint64_t number = fifo.push(7);
    EXPECT_EQ(fifo.at(number), 7);
}

TEST(Copy, CopiesEveryLengthAndAlignmentAndNothingElse) {
    for (const auto function : {copy, copy_to_shared})
        for (const size_t bytes : {0, 1, 31, 64, 65, 1000, 1024, 4096, 16384, 20'000, 100'003})
            for (const size_t offset : {0, 1, 64})
                for (int again = 0; again < 20; ++again) {  // the kind of store changes now and then
                    std::vector<unsigned char> from(bytes + 200);
                    std::vector<unsigned char> to(bytes + 200, 0xee);
                    for (size_t i = 0; i < from.size(); ++i)
                        from[i] = static_cast<unsigned char>(i * 31 + again);
                    function(to.data() + offset, from.data() + 3, bytes);
                    for (size_t i = 0; i < to.size(); ++i) {
                        const bool inside = i >= offset && i < offset + bytes;
                        ASSERT_EQ(to[i], inside ? from[i - offset + 3] : 0xee) << bytes << " at " << i;
                    }
                }
}

}  // namespace
}  // namespace ring
