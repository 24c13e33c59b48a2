// Streams, events and pinned memory, over the fake CUDA runtime: what is ordered is in order, whatever the
// streams' delays, and all is given back.
#include "ring/device/stream.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "device/fakes.h"
#include "ring/base/error.h"

namespace ring::cuda {
namespace {

using namespace ring::testing;

class CudaStreams : public ::testing::Test {
  protected:
    CudaStreams() { fakes.set_delays(300); }
    ~CudaStreams() override { EXPECT_EQ(fakes.alive(), before); }

    const FakeCuda fakes;
    const int64_t before = fakes.alive();
    const Runtime cuda{fake("cudart")};
};

TEST_F(CudaStreams, WorkInOrderAndWaitForEachOther) {
    PinnedMemory pinned(cuda);
    constexpr size_t kCount = 1000;
    constexpr size_t kBytes = kCount * sizeof(int);
    std::byte* const host = pinned.allocate(kBytes);
    {
        OwnStream down(cuda, true), up(cuda);
        OwnEvent there(cuda), back(cuda);
        for (int round = 0; round < 20; ++round) {
            std::vector<int> from(kCount), to(kCount, -1);
            std::iota(from.begin(), from.end(), round);
            cuda.check(cuda.memcpy_async(host, from.data(), kBytes, Copy::kDeviceToHost, down.get()), "copy");
            there.record(down.get());
            there.hold(up.get());
            cuda.check(cuda.memcpy_async(to.data(), host, kBytes, Copy::kHostToDevice, up.get()), "copy");
            back.record(up.get());
            while (!back.passed()) {
                EXPECT_EQ(cuda.get_last_error(), kSuccess);
                std::this_thread::yield();
            }
            ASSERT_EQ(to, from);
        }
    }
    pinned.release(host);
}

TEST_F(CudaStreams, AreNotHeldByAnEventThatWasNeverRecorded) {
    const OwnStream stream(cuda);
    OwnEvent event(cuda);
    EXPECT_THROW(event.hold(stream.get()), Error);
    event.record(stream.get());
    event.hold(stream.get());
}

TEST_F(CudaStreams, AreOfTheDeviceThatIsUsed) {
    fakes.set_devices(2);
    int device = -1;
    {
        const UseDevice second(cuda, 1);
        cuda.check(cuda.get_device(&device), "cudaGetDevice");
        EXPECT_EQ(device, 1);
    }
    cuda.check(cuda.get_device(&device), "cudaGetDevice");
    EXPECT_EQ(device, 0);
    EXPECT_THROW(UseDevice(cuda, 2), Error);
    cuda.check(cuda.get_device(&device), "cudaGetDevice");
    EXPECT_EQ(device, 0);
}

TEST_F(CudaStreams, TellWhatTheDeviceSays) {
    const OwnStream stream(cuda);
    OwnEvent event(cuda);
    event.record(stream.get());
    fakes.fail_next("cudaEventQuery", 1);
    try {
        (void)event.passed();
        ADD_FAILURE() << "it fails";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "cudaEventQuery: invalid argument (cudaErrorInvalidValue, 1)");
    }
    EXPECT_EQ(cuda.get_last_error(), kSuccess);
    fakes.fail_next("cudaHostAlloc", 2);
    EXPECT_THROW(PinnedMemory(cuda).allocate(100), std::bad_alloc);
    fakes.fail_next("cudaStreamCreateWithPriority", 2);
    EXPECT_THROW(OwnStream{cuda}, Error);
}

}  // namespace
}  // namespace ring::cuda
