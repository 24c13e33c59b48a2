// The memory that libring reads and writes for the tensors of a call: theirs, or that of contiguous
// stand-ins.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/AutogradState.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <utility>
#include <vector>

namespace torch_ring {

// While one is alive, this thread's operations on tensors work on their memory and nothing else, whatever
// modes the thread has on: no autograd, no autocast, no torch.func transform, no Python mode. So a result
// that must be copied arrives as one does that libring writes itself: in leaves that require grad and in
// inference tensors too, in whichever thread the call ends, and without a new version of the tensor.
class MemoryOnly {
  public:
    // `inference`: what is made meanwhile are inference tensors.
    explicit MemoryOnly(bool inference = false);
    ~MemoryOnly();
    MemoryOnly(const MemoryOnly&) = delete;
    MemoryOnly& operator=(const MemoryOnly&) = delete;

  private:
    const c10::AutogradState before_;
    const c10::impl::ForceDispatchKeyGuard dispatch_;
};

// Not thread-safe; whoever completes the call writes back.
class Staging {
  public:
    // Before anything is staged. Overlapping: there is a stand-in for every tensor, so that nothing reads
    // what the call has written.
    void set_apart_if(bool overlapping) { apart_ = overlapping; }

    // Contiguous memory with the content of the tensor: its own if that will do, else a stand-in's.
    at::Tensor read(const at::Tensor& tensor);
    // The same, and write_back() will bring the result into the tensor. Throws RingConfigError, which names
    // the collective, for a tensor that cannot be written to.
    at::Tensor write(const at::Tensor& tensor, const char* collective);
    // In the order in which they were staged: of results for the same memory the last one stays.
    void write_back() const;

  private:
    bool apart_ = false;
    std::vector<at::Tensor> kept_;                            // what is only read, or written itself
    std::vector<std::pair<at::Tensor, at::Tensor>> written_;  // the caller's, its stand-in
};

}  // namespace torch_ring
