// See connector.h.
#include "ring/engine/connector.h"

#include <algorithm>

#include "ring/engine/rendezvous.h"

namespace ring {
namespace {

bool complete(const Connected& one) {
    const auto is_there = [](const auto& pipe) { return pipe != nullptr; };
    return is_there(one.control) && std::all_of(one.streams.begin(), one.streams.end(), is_there);
}

}  // namespace

Connector::Connector(Fabric& fabric, int self, const std::vector<int>& peers, int streams, Deadline deadline,
                     Hooks hooks)
    : fabric_(fabric), self_(self), deadline_(deadline), hooks_(std::move(hooks)) {
    for (const int peer : peers) {
        connected_.push_back({.peer = peer});
        connected_.back().streams.resize(static_cast<size_t>(streams));
    }
    const auto call = [&](int peer, Use use, std::unique_ptr<Pipe>& place) {
        calls_.push_back({fabric_.call(peer, use, deadline_, hooks_.watch), &place});
    };
    for (Connected& one : connected_) {
        if (one.peer < self_) continue;
        call(one.peer, {Purpose::kControl}, one.control);
        for (int stream = 0; stream < streams; ++stream)
            call(one.peer, {Purpose::kData, stream}, one.streams[stream]);
    }
    fabric_.watch(hooks_.arrived);
}

Connector::~Connector() {
    fabric_.watch(nullptr);
}

bool Connector::step() {
    accept(Purpose::kControl);
    accept(Purpose::kData);
    advance_calls();
    const std::vector<int> missing = absent();
    if (missing.empty()) return calls_.empty();
    if (deadline_.passed()) {
        std::string names;
        for (const int peer : missing) names += (names.empty() ? "" : ", ") + hooks_.describe(peer);
        throw Bystander(names + (missing.size() == 1 ? " has" : " have") +
                        " not connected in time: " + fabric_.absence());
    }
    return false;
}

void Connector::advance_calls() {
    std::erase_if(calls_, [](Outgoing& one) {
        *one.place = one.call->advance();
        return *one.place != nullptr;
    });
}

void Connector::accept(Purpose purpose) {
    for (Fabric::Accepted& accepted : fabric_.accept(purpose))
        // Who calls again has given up the connection before, which this rank may have taken for good.
        place_of(accepted, purpose) = std::move(accepted.pipe);
}

std::unique_ptr<Pipe>& Connector::place_of(const Fabric::Accepted& accepted, Purpose purpose) {
    const auto at = std::find_if(connected_.begin(), connected_.end(),
                                 [&](const Connected& one) { return one.peer == accepted.from; });
    const bool calls = at != connected_.end() && accepted.from < self_;
    if (calls && purpose == Purpose::kControl) return at->control;
    if (calls && accepted.stream >= 0 && accepted.stream < static_cast<int>(at->streams.size()))
        return at->streams[accepted.stream];
    throw Error("rank " + std::to_string(accepted.from) +
                " opened a connection that the group has no use for: torch_ring is broken, please report it");
}

std::vector<int> Connector::absent() const {
    std::vector<int> peers;
    for (const Connected& one : connected_)
        if (one.peer < self_ && !complete(one)) peers.push_back(one.peer);
    return peers;
}

Clock::time_point Connector::next() const {
    auto at = deadline_.at();
    for (const Outgoing& one : calls_) at = std::min(at, one.call->next());
    return at;
}

}  // namespace ring
