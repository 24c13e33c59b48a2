// See scratch.h.
#include "ring/collectives/scratch.h"

namespace ring {

std::byte* Scratch::take(size_t bytes) {
    if (next_ == blocks_.size()) blocks_.push_back({{nullptr, Release{memory_}}, 0});
    Block& block = blocks_[next_++];
    if (block.bytes < bytes) {
        block.memory.reset();  // before another is taken
        block.memory.reset(memory_->allocate(bytes));
        block.bytes = bytes;
    }
    return block.memory.get();
}

void Scratch::clear() {
    blocks_.clear();
    next_ = 0;
}

}  // namespace ring
