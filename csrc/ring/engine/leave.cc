// How groups are left in good order: one, or all at the end of the process. See communicator.h.
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

void Communicator::shutdown() {
    Communicator* const self = this;
    shutdown({&self, 1});
}

void Communicator::shutdown(std::span<Communicator* const> groups) {
    struct Leaving {
        Communicator* group;
        Lock lock;
    };
    std::vector<Leaving> leaving;
    for (Communicator* const group : groups)
        if (Lock lock = group->say_goodbye(); lock.owns_lock()) leaving.push_back({group, std::move(lock)});
    const auto started = Clock::now();
    while (!leaving.empty()) {
        std::erase_if(leaving, [&](Leaving& one) {
            if (!one.group->has_left(started)) return false;
            one.group->close(one.lock);
            return true;
        });
        if (!leaving.empty()) std::this_thread::sleep_for(kLeaveLook);
    }
}

Communicator::Lock Communicator::say_goodbye() {
    if (inherited()) return {};
    {
        const std::lock_guard lock(queue_mutex_);
        if (closed_) return {};
        closed_ = true;
        fails_from_.store(0, std::memory_order_release);  // pairs with step()
    }
    engine_.remove(this);
    doorbell_->ring(doorbell_->name());
    Lock lock = baton_.take();
    watch_.read_controls();  // a death that made the user leave has been told in another group, perhaps
    flood();
    watch_.check_deaths();
    abandon_all();
    if (connections_.segment != nullptr) connections_.segment->depart();
    for (const auto& control : connections_.controls) control->send(Control::Type::kGoodbye, "");
    return lock;
}

bool Communicator::has_left(Clock::time_point started) {
    Silences& silences = engine_.silences();
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
    greet_late_visitors();
    for (const auto& control : connections_.controls) {
        control->flush();
        control->receive();  // notices a peer that is gone
        if (control->pending()) await(control->peer(), kGoodbye);
    }
    for (const int rank : mailbox_.leave()) await(rank, kDelivery);
    if (left)
        for (const auto& [network, began] : silent) silences.note(network, began);
    return left;
}

// Who has called for messages meanwhile, and would take the end of its connection for a death.
void Communicator::greet_late_visitors() {
    try {
        if (visitors_.load(std::memory_order_acquire)) take_visitors();  // pairs with open_mailbox()
    } catch (const Error& error) {
        log(LogLevel::kInfo, std::string("while leaving a group: ") + error.what());
    }
}

void Communicator::close(Lock& lock) {
    if (acceptor_ != nullptr) acceptor_->leave(roster_.group, layout_.rank());
    links_.clear();
    connections_.links.clear();
    connections_.controls.clear();
    while (true) {
        baton_.run_callbacks(lock);
        if (lock.owns_lock()) break;
        lock.lock();  // a waiter has it, to find that all has ended
    }
    // What the group took, while the object may live on for long.
    for (Slot& slot : slots_) slot.context.scratch = {};
    if (connections_.segment == nullptr) return;
    std::vector<bool> dead;
    for (const int rank : layout_.host_ranks()) dead.push_back(watch_.death_of(rank).has_value());
    connections_.segment->give_back(dead);
}

}  // namespace ring
