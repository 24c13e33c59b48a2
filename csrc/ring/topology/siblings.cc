// See siblings.h.
#include "ring/topology/siblings.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "ring/base/process.h"
#include "ring/topology/identity.h"

namespace ring {
namespace {

// A launcher may start a single rank again, and a wrapper may have handed over to another process.
constexpr milliseconds kGrace{3000};
// How many seconds after this rank the launcher has started all others, if it ever does. torchrun starts them
// one after the other, without waiting for anything.
constexpr double kStarted = 15;
// A rank that was started so many seconds before this one is of an earlier attempt.
constexpr double kOneAttempt = 10;

// In which launchers tell a process its rank, and how many there are.
struct Names {
    const char* rank;
    const char* size;
};
constexpr std::array kLaunchers{
    Names{"RANK", "WORLD_SIZE"},  // torchrun, and whoever starts ranks by hand
    Names{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    Names{"PMI_RANK", "PMI_SIZE"},  // MPICH
    Names{"SLURM_PROCID", "SLURM_NTASKS"},
};
// Equal in all ranks of one attempt of one job.
constexpr std::array kJob{"MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"};
constexpr const char* kLocalRank = "LOCAL_RANK";
constexpr const char* kLocalSize = "LOCAL_WORLD_SIZE";
constexpr const char* kTorchrun = "TORCHELASTIC_RUN_ID";

std::string value(const Siblings::Variables& environment, const std::string& name) {
    const auto at = environment.find(name);
    return at == environment.end() ? "" : at->second;
}

std::optional<int> number(const Siblings::Variables& environment, const std::string& name) {
    const std::string text = value(environment, name);
    int found = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), found);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return found;
}

}  // namespace

Siblings::Siblings(int rank, int size) : rank_(rank) {
    const auto environment = environment_of(::getpid());
    if (!environment) return;
    for (const Names& names : kLaunchers) {
        if (number(*environment, names.rank) != rank || number(*environment, names.size) != size) continue;
        own_ = *environment;
        rank_variable_ = names.rank;
        size_variable_ = names.size;
        break;
    }
    if (own_.empty()) return;
    // Whoever was started with all the same is a wrapper of this process, as a shell is.
    root_ = ::getpid();
    while (true) {
        launcher_ = parent_of(root_);
        const auto above = launcher_ == 0 ? std::nullopt : environment_of(launcher_);
        if (!above || rank_in(*above) != rank || value(*above, kLocalRank) != value(own_, kLocalRank)) break;
        root_ = launcher_;
    }
    const auto started = started_at(root_);
    if (!started) launcher_ = 0;
    started_ = started.value_or(0);
}

std::optional<int> Siblings::rank_in(const Variables& environment) const {
    for (const char* name : kJob)
        if (value(environment, name) != value(own_, name)) return std::nullopt;
    if (value(environment, size_variable_) != value(own_, size_variable_)) return std::nullopt;
    return number(environment, rank_variable_);
}

bool Siblings::look() {
    const std::vector<int> children = children_of(launcher_);
    // The system hides them, or the launcher has ended, and its children are another's.
    if (std::find(children.begin(), children.end(), root_) == children.end()) return false;
    std::map<int, int> known;
    std::set<int> running;
    all_known_ = true;
    for (const int child : children) {
        const auto before = children_.find(child);
        std::optional<int> rank;
        if (before != children_.end())
            rank = before->second;
        else if (const auto environment = environment_of(child))
            rank = rank_in(*environment);
        else
            all_known_ = false;
        if (!rank) continue;  // it may still be what the launcher forked, and become one
        known[child] = *rank;
        running.insert(*rank);
        ranks_[*rank] = {.pid = child, .started = started_at(child).value_or(0)};
    }
    children_ = std::move(known);
    for (auto& [rank, process] : ranks_)
        if (!running.contains(rank) && !process.missed_since) process.missed_since = Clock::now();
    return true;
}

std::optional<std::string> Siblings::ended() {
    if (launcher_ == 0 || !look()) return std::nullopt;
    for (const auto& [rank, process] : ranks_)
        if (process.missed_since && Clock::now() - *process.missed_since >= kGrace &&
            process.started >= started_ - kOneAttempt)
            return "rank " + std::to_string(rank) + " (host " + machine_name() + ", pid " +
                   std::to_string(process.pid) + ") ended before it joined the group";
    return never_seen();
}

std::optional<std::string> Siblings::never_seen() const {
    const auto local_rank = number(own_, kLocalRank);
    const auto local_size = number(own_, kLocalSize);
    const double age = seconds_since_start() - started_;
    // Only of torchrun it is known that it starts all at once, and that the ranks of a host follow each
    // other.
    if (value(own_, kTorchrun).empty() || !all_known_ || !local_rank || !local_size) return std::nullopt;
    if (age < kStarted) return std::nullopt;
    const int first = rank_ - *local_rank;
    for (int rank = first; rank < first + *local_size; ++rank)
        if (!ranks_.contains(rank))
            return "rank " + std::to_string(rank) + " (host " + machine_name() +
                   ") has ended: its launcher (pid " + std::to_string(launcher_) +
                   ") started the ranks of this host " + std::to_string(static_cast<int>(age)) +
                   " s ago, and has no process of it any more";
    return std::nullopt;
}

}  // namespace ring
