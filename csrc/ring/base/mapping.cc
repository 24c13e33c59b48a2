// See mapping.h.
#include "ring/base/mapping.h"

#include <sys/mman.h>

#include <utility>

#include "ring/base/error.h"
#include "ring/base/fork.h"

namespace ring {

Mapping::Mapping(int fd, size_t bytes) : size_(bytes), forks_(fork_count()) {
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) throw_errno("mmap of " + std::to_string(bytes) + " bytes of shared memory");
    data_ = static_cast<std::byte*>(at);
    // A second fence: whoever owns the mapping keeps forked children out by itself, where this is refused.
    (void)::madvise(at, bytes, MADV_DONTFORK);
}

Mapping::~Mapping() {
    if (data_ != nullptr && forks_ == fork_count()) ::munmap(data_, size_);
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      forks_(other.forks_) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(forks_, other.forks_);
    return *this;
}

}  // namespace ring
