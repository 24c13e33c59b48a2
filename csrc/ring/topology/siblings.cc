// See siblings.h.
#include "ring/topology/siblings.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "ring/base/process.h"
#include "ring/topology/identity.h"

namespace ring {
namespace {

// What may just have been started is not a rank yet, as far as others see.
constexpr milliseconds kGrace{3000};
// How many seconds after this rank torchrun has started all others, if it ever does: it starts one after the
// other, without waiting for anything.
constexpr double kStarted = 15;

constexpr const char* kRank = "RANK";
constexpr const char* kSize = "WORLD_SIZE";
constexpr const char* kLocalRank = "LOCAL_RANK";
constexpr const char* kLocalSize = "LOCAL_WORLD_SIZE";
constexpr const char* kJob = "TORCHELASTIC_RUN_ID";

using Environment = std::map<std::string, std::string>;

std::string value(const Environment& environment, const char* name) {
    const auto at = environment.find(name);
    return at == environment.end() ? "" : at->second;
}

std::optional<int> number(const Environment& environment, const char* name) {
    const std::string text = value(environment, name);
    int found = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), found);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return found;
}

// By its name, or by that of the module that Python runs.
bool is_torchrun(int pid) {
    const auto words = command_of(pid);
    for (size_t i = 0; i < words.size(); ++i) {
        if (i < 2 && std::filesystem::path(words[i]).filename() == "torchrun") return true;
        if (words[i] == "-m") return i + 1 < words.size() && words[i + 1] == "torch.distributed.run";
    }
    return false;
}

}  // namespace

Siblings::Siblings(int rank, int size) : rank_(rank), size_(size) {
    const auto own = environment_of(::getpid());
    if (!own || value(*own, kJob).empty() || number(*own, kRank) != rank || number(*own, kSize) != size)
        return;
    const auto local_rank = number(*own, kLocalRank);
    const auto local_size = number(*own, kLocalSize);
    if (!local_rank || !local_size) return;
    job_ = value(*own, kJob);
    first_ = rank - *local_rank;
    count_ = *local_size;
    if (first_ < 0 || first_ + count_ > size || *local_rank >= count_) return;  // a wrapper has changed them
    // Between the two there may be wrappers, such as shells, which have the same environment.
    for (root_ = ::getpid(); launcher_ == 0;) {
        const int above = parent_of(root_);
        if (above == 0) return;
        if (is_torchrun(above)) {
            launcher_ = above;
        } else {
            const auto environment = environment_of(above);
            if (!environment || value(*environment, kJob) != job_) return;
            root_ = above;
        }
    }
}

std::optional<Siblings::Seen> Siblings::look() const {
    const std::vector<int> children = children_of(launcher_);
    // Else the system hides them, or the launcher has ended, and they are another's.
    if (std::find(children.begin(), children.end(), root_) == children.end()) return std::nullopt;
    Seen seen;
    for (const int child : children) {
        const auto environment = environment_of(child);
        if (environment && value(*environment, kJob) != job_) continue;  // torchrun's own, or not a rank yet
        ++seen.workers;
        const auto rank = environment ? number(*environment, kRank) : std::nullopt;
        if (!rank || *rank < first_ || *rank >= first_ + count_) continue;
        if (number(*environment, kLocalRank) != *rank - first_ || number(*environment, kSize) != size_)
            continue;
        seen.pids[*rank] = child;
    }
    return seen;
}

std::optional<std::string> Siblings::ended() {
    if (launcher_ == 0) return std::nullopt;
    const auto seen = look();
    const auto started = started_at(root_);
    // Who is missing is known only where it is known who all others are.
    const bool some_ended = seen && started && seen->workers < count_ &&
                            seen->pids.size() == static_cast<size_t>(seen->workers) &&
                            seen->pids.contains(rank_);
    if (seen)
        for (const auto& [rank, pid] : seen->pids) pids_[rank] = pid;
    const bool all_started = pids_.size() == static_cast<size_t>(count_) ||
                             (started && seconds_since_start() - *started >= kStarted);
    if (!some_ended || !all_started) {
        missed_since_ = Clock::time_point::max();
        return std::nullopt;
    }
    missed_since_ = std::min(missed_since_, Clock::now());
    if (Clock::now() - missed_since_ < kGrace) return std::nullopt;
    for (int rank = first_; rank < first_ + count_; ++rank) {
        if (seen->pids.contains(rank)) continue;
        const auto known = pids_.find(rank);
        return "rank " + std::to_string(rank) + " (host " + machine_name() +
               (known == pids_.end() ? "" : ", pid " + std::to_string(known->second)) +
               ") ended before it joined the group: torchrun (pid " + std::to_string(launcher_) +
               ") has started all ranks of this host, and that one does not run any more";
    }
    return std::nullopt;
}

}  // namespace ring
