// How groups are left in good order: one, or all at the end of the process. See communicator.h, session.h.
#include <thread>

#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"
#include "ring/fault/timeouts.h"

namespace ring {

Clock::time_point Silences::began(const std::string& network, Clock::time_point now) const {
    const std::lock_guard lock(mutex_);
    const auto known = began_.find(network);
    return known == began_.end() || now > known->second + kSilent ? now : known->second;
}

void Silences::note(const std::string& network, Clock::time_point began) {
    const std::lock_guard lock(mutex_);
    began_[network] = began;
}

// ---- the group ----

void Communicator::shutdown() {
    Communicator* const self = this;
    shutdown({&self, 1});
}

void Communicator::shutdown(std::span<Communicator* const> groups) {
    struct Leaving {
        Communicator* group;
        Baton::Lock baton;
    };
    std::vector<Leaving> leaving;
    for (Communicator* const group : groups)
        if (Baton::Lock baton = group->begin_leaving(); baton.owns_lock())
            leaving.push_back({group, std::move(baton)});
    const auto started = Clock::now();
    while (!leaving.empty()) {
        std::erase_if(leaving, [&](Leaving& one) {
            if (!one.group->session_.has_left(one.group->engine_.silences(), started)) return false;
            one.group->close(one.baton);
            return true;
        });
        if (!leaving.empty()) std::this_thread::sleep_for(kLeaveLook);
    }
}

Baton::Lock Communicator::begin_leaving() {
    if (inherited()) return {};
    {
        const std::lock_guard lock(queue_mutex_);
        if (closed_) return {};
        closed_ = true;
        fails_from_.store(0, std::memory_order_release);  // pairs with fails_from()
    }
    engine_.remove(this);
    session_.ring();
    Baton::Lock baton = baton_.take();
    session_.listen_last();  // a death that made the user leave has been told in another group, perhaps
    flood();
    abandon_all();
    session_.say_goodbye();
    return baton;
}

void Communicator::close(Baton::Lock& baton) {
    session_.close();
    while (true) {
        baton_.run_callbacks(baton);
        if (baton.owns_lock()) break;
        baton.lock();  // a waiter has it, to find that all has ended
    }
    session_.give_back();
}

// ---- its session ----

void Session::listen_last() {
    watch_.read_controls();
    watch_.check_deaths();
}

void Session::say_goodbye() {
    if (segment_ != nullptr) segment_->depart();
    for (const auto& control : connections_.controls) control->send(Control::Type::kGoodbye, "");
}

bool Session::has_left(Silences& silences, Clock::time_point started) {
    const auto now = Clock::now();
    std::map<std::string, Clock::time_point> silent;  // those that are given up, and since when
    bool left = true;
    // Of all groups together: a machine that is cut off must not cost its bound once per group, whether they
    // are left at the same time or one after another.
    const auto await = [&](int rank, milliseconds bound) {
        const std::string& network = roster_.networks[rank];
        const auto began = silences.began(network, started);
        if (now < began + bound)
            left = false;
        else
            silent[network] = began;
    };
    p2p_.greet_late_visitors();
    for (const auto& control : connections_.controls) {
        control->flush();
        control->receive();  // notices a peer that is gone
        if (control->pending()) await(control->peer(), kGoodbye);
    }
    for (const int rank : p2p_.mailbox().leave()) await(rank, kDelivery);
    if (left)
        for (const auto& [network, began] : silent) silences.note(network, began);
    return left;
}

void Session::close() {
    if (connections_.fabric != nullptr) connections_.fabric->leave();
    links_.clear();
    connections_.links.clear();
    connections_.controls.clear();
}

void Session::give_back() {
    pipeline_.give_back();
    if (segment_ == nullptr) return;
    std::vector<bool> dead;
    for (const int rank : layout_.host_ranks()) dead.push_back(watch_.death_of(rank).has_value());
    segment_->give_back(dead);
}

}  // namespace ring
