// See memory.h.
#include "ring/base/memory.h"

#include <new>

namespace ring {
namespace {

constexpr std::align_val_t kLine{64};

}  // namespace

std::byte* HeapMemory::allocate(size_t bytes) {
    return static_cast<std::byte*>(::operator new(bytes, kLine));
}

void HeapMemory::release(std::byte* memory) noexcept {
    ::operator delete(memory, kLine);
}

}  // namespace ring
