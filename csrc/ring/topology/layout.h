// Who runs where: the ranks of a group, sorted into hosts, and the rails between the hosts.
//
// Built once per group from what the ranks published; the algorithms read it and know nothing else of the
// machines.
#pragma once

#include <string>
#include <vector>

namespace ring {

// One rank as the others know it.
struct Member {
    std::string host_id;    // equal = can share memory
    std::string host_name;  // for messages
    int pid = 0;
    std::string process{};    // process_identity(); of the ranks of this host alone
    std::vector<int> cpus{};  // usable_cpus(); likewise
    int global_rank = -1;     // what the user calls it; -1: its rank in the group
};

// A *cell* is a set of ranks that work together through shared memory: the ranks of one host (or a single
// rank each where the flat ring was asked for). Cells are ordered by their lowest rank. A *rail* is a ring
// that joins one rank of each cell: rail j runs through the rank with local rank j of every cell. There are
// as many rails as the smallest cell has ranks, so cells of unequal size need no special case: ranks beyond
// the last rail only work inside their cell.
class Layout {
  public:
    Layout(int rank, std::vector<Member> members, bool flat);

    int rank() const { return rank_; }
    int size() const { return static_cast<int>(members_.size()); }
    const Member& member(int rank) const { return members_[rank]; }
    bool same_host(int a, int b) const { return members_[a].host_id == members_[b].host_id; }

    int cells() const { return static_cast<int>(cells_.size()); }
    const std::vector<int>& cell(int index) const { return cells_[index]; }  // its ranks, by local rank
    const std::vector<int>& my_cell() const { return cells_[my_cell_]; }
    int my_cell_index() const { return my_cell_; }
    int cell_of(int rank) const { return cell_of_[rank]; }
    int local_rank() const { return local_rank_; }
    int largest_cell() const { return largest_cell_; }  // ranks
    int local_size() const { return static_cast<int>(my_cell().size()); }

    int rails() const { return rails_; }
    bool on_rail() const { return local_rank_ < rails_; }
    // The rank at `position` (modulo the number of cells) of this rank's rail. Only where on_rail().
    int rail_rank(int position) const;

    // All ranks of this rank's host, in order of rank, whatever the cells are.
    const std::vector<int>& host_ranks() const { return host_ranks_; }
    // Of a rank of this host: its place among host_ranks().
    int local_index(int rank) const;
    int hosts() const { return hosts_; }
    // Whether the ranks of this rank's host outnumber the cores that they may use, so that who waits often
    // has one that another needs. The same on all of them.
    bool crowded() const { return crowded_; }

    // What the user knows a rank by, in whatever group.
    int global_rank(int rank) const {
        return members_[rank].global_rank < 0 ? rank : members_[rank].global_rank;
    }
    // "rank 2", "rank 2 (host lab1, pid 4711)"
    std::string name(int rank) const { return "rank " + std::to_string(global_rank(rank)); }
    std::string describe(int rank) const;

  private:
    int rank_;
    std::vector<Member> members_;
    std::vector<std::vector<int>> cells_;
    std::vector<int> cell_of_;  // by rank
    std::vector<int> host_ranks_;
    int hosts_ = 0;
    bool crowded_ = false;
    int my_cell_ = 0;
    int local_rank_ = 0;
    int rails_ = 1;
    int largest_cell_ = 1;
};

}  // namespace ring
