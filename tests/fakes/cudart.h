// What tests can ask of the fake CUDA runtime (cudart.cc), beside CUDA's own functions. Thread-safe.
#pragma once

#include <cstdint>

extern "C" {
// How many devices there are; 0: none, as where there is no driver.
void fake_cuda_set_devices(int count);
// The next call of that function ("cudaMemcpyAsync") does nothing and returns this.
void fake_cuda_fail_next(const char* function, int result);
// As it was at first, but for what is alive.
void fake_cuda_reset();
// Before each operation a stream waits for a random time of up to so many microseconds. 0: none, as at first.
void fake_cuda_set_delays(int most_us);
// Runs it in the stream's turn.
void fake_cuda_enqueue(void* stream, void (*function)(void* argument), void* argument);
// Pinned memory, streams and events that have not been given back.
int64_t fake_cuda_alive();
}
