// A shared memory mapping of a descriptor, unmapped when it goes.
#pragma once

#include <cstddef>

namespace ring {

class Mapping {
  public:
    Mapping() = default;
    Mapping(int fd, size_t bytes);  // read and write, shared; throws Error
    ~Mapping();
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;

    std::byte* data() const { return data_; }
    size_t size() const { return size_; }

  private:
    std::byte* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace ring
