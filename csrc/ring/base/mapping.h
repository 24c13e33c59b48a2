// A shared memory mapping of a descriptor, unmapped when it goes, and not there in forked children.
#pragma once

#include <cstddef>

namespace ring {

class Mapping {
  public:
    Mapping() = default;
    // Read and write, shared; throws Error. A forked child must not touch it: what it wrote would be read by
    // the peers of its parent. Its address means nothing there, or something else.
    Mapping(int fd, size_t bytes);
    ~Mapping();
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;

    std::byte* data() const { return data_; }
    size_t size() const { return size_; }

  private:
    std::byte* data_ = nullptr;
    size_t size_ = 0;
    int forks_ = 0;  // fork_count() where it was made
};

}  // namespace ring
