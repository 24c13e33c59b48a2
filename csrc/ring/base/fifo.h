// A queue whose elements are numbered from 1 in the order in which they were pushed.
//
// Grows as needed and then keeps its memory: a queue that breathes allocates nothing. Used by transport/link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ring {

// Not thread-safe.
template <typename T>
class Fifo {
  public:
    bool empty() const { return size() == 0; }
    size_t size() const { return static_cast<size_t>(pushed_ - popped_); }
    uint64_t pushed() const { return pushed_; }  // the number of the newest element, ever
    uint64_t popped() const { return popped_; }  // elements up to this number are gone

    // The element with this number, popped() < number <= pushed(). Valid until the next push().
    T& at(uint64_t number) { return ring_[number & (ring_.size() - 1)]; }
    const T& at(uint64_t number) const { return ring_[number & (ring_.size() - 1)]; }
    T& front() { return at(popped_ + 1); }
    const T& front() const { return at(popped_ + 1); }

    uint64_t push(T value) {
        if (size() == ring_.size()) grow();
        ++pushed_;
        at(pushed_) = std::move(value);
        return pushed_;
    }
    void pop() { ++popped_; }
    // Forgets all elements; their numbers stay used.
    void clear() { popped_ = pushed_; }

  private:
    void grow() {
        std::vector<T> larger(ring_.empty() ? 16 : ring_.size() * 2);
        for (uint64_t number = popped_ + 1; number <= pushed_; ++number)
            larger[number & (larger.size() - 1)] = std::move(at(number));
        ring_ = std::move(larger);
    }

    std::vector<T> ring_;  // a power of two
    uint64_t pushed_ = 0;
    uint64_t popped_ = 0;
};

}  // namespace ring
