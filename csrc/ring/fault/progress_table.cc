// See progress_table.h.
#include "ring/fault/progress_table.h"

#include <algorithm>

namespace ring {
namespace {

constexpr size_t kEntriesPerMessage = 4000;

}  // namespace

void ProgressTable::note(int rank, uint64_t operation) {
    if (rank < 0 || rank >= static_cast<int>(sent_.size())) return;
    if (segment_ != nullptr) {
        segment_->note_called(rank, operation);
    } else {
        own_[rank] = std::max(own_[rank], operation);
    }
}

uint64_t ProgressTable::called(int rank) const {
    return segment_ != nullptr ? segment_->called(rank) : own_[rank];
}

void ProgressTable::share(const std::vector<std::unique_ptr<Control>>& controls) {
    if (controls.empty()) return;
    std::vector<CallProgress> news;
    const auto send = [&] {
        for (const auto& control : controls) control->send(Control::Type::kProgress, encode(news));
        news.clear();
    };
    for (size_t rank = 0; rank < sent_.size(); ++rank) {
        const uint64_t known = called(static_cast<int>(rank));
        if (known <= sent_[rank]) continue;
        sent_[rank] = known;
        news.push_back({static_cast<int32_t>(rank), known});
        if (news.size() == kEntriesPerMessage) send();
    }
    if (!news.empty()) send();
}

std::vector<int> ProgressTable::missing(uint64_t operation) const {
    std::vector<int> ranks;
    for (size_t rank = 0; rank < sent_.size(); ++rank)
        if (called(static_cast<int>(rank)) < operation) ranks.push_back(static_cast<int>(rank));
    return ranks;
}

}  // namespace ring
