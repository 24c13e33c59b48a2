// See layout.h.
#include "ring/topology/layout.h"

#include <algorithm>
#include <map>
#include <set>

namespace ring {

Layout::Layout(int rank, std::vector<Member> members, bool flat) : rank_(rank), members_(std::move(members)) {
    std::map<std::string, size_t> cell_of_host;
    for (int r = 0; r < size(); ++r) {
        const auto [known, added] = cell_of_host.try_emplace(members_[r].host_id, cells_.size());
        hosts_ += added ? 1 : 0;
        if (added || flat) {
            known->second = cells_.size();
            cells_.emplace_back();
        }
        std::vector<int>& cell = cells_[known->second];
        if (r == rank_) {
            my_cell_ = static_cast<int>(known->second);
            local_rank_ = static_cast<int>(cell.size());
        }
        cell.push_back(r);
        cell_of_.push_back(static_cast<int>(known->second));
        if (same_host(r, rank_)) host_ranks_.push_back(r);
    }
    std::set<int> cpus;
    for (const int r : host_ranks_) cpus.insert(members_[r].cpus.begin(), members_[r].cpus.end());
    crowded_ = !cpus.empty() && host_ranks_.size() > cpus.size();
    rails_ = size();
    for (const auto& cell : cells_) {
        rails_ = std::min(rails_, static_cast<int>(cell.size()));
        largest_cell_ = std::max(largest_cell_, static_cast<int>(cell.size()));
    }
}

int Layout::rail_rank(int position) const {
    const int n = cells();
    return cells_[((position % n) + n) % n][local_rank_];
}

int Layout::local_index(int rank) const {
    return static_cast<int>(std::find(host_ranks_.begin(), host_ranks_.end(), rank) - host_ranks_.begin());
}

std::string Layout::describe(int rank) const {
    const Member& who = members_[rank];
    return name(rank) + " (host " + who.host_name + ", pid " + std::to_string(who.pid) + ")";
}

}  // namespace ring
