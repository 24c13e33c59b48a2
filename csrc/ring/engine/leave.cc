// How groups are left in good order: one, or all at the end of the process. See communicator.h.
#include <algorithm>
#include <thread>

#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"

namespace ring {
namespace {

// How long a leaving rank waits for its goodbyes to arrive.
constexpr milliseconds kGoodbye{200};
// How long it stays for messages that its peers' kernels have not taken yet.
constexpr milliseconds kDelivery{5000};
constexpr milliseconds kLook{1};

}  // namespace

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
    // Of all together: a host that is cut off must not cost its bound once per group.
    const Deadline goodbye = Deadline::after(kGoodbye);
    const Deadline delivery = Deadline::after(kDelivery);
    while (!leaving.empty()) {
        for (auto one = leaving.begin(); one != leaving.end();) {
            const bool left = (one->group->goodbyes_arrived() || goodbye.passed()) &&
                              (one->group->mailbox_.leave() || delivery.passed());
            if (left) one->group->close(one->lock);
            one = left ? leaving.erase(one) : one + 1;
        }
        if (!leaving.empty()) std::this_thread::sleep_for(kLook);
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
    Lock lock(drive_mutex_);
    read_controls();  // a death that made the user leave has been told in another group, perhaps
    flood();
    check_deaths();
    abandon_all();
    if (connections_.segment != nullptr) connections_.segment->depart();
    for (const auto& control : connections_.controls) control->send(Control::Type::kGoodbye, "");
    return lock;
}

bool Communicator::goodbyes_arrived() {
    for (const auto& control : connections_.controls) {
        control->flush();
        control->receive();  // notices a peer that is gone
    }
    return std::none_of(connections_.controls.begin(), connections_.controls.end(),
                        [](const auto& control) { return control->pending(); });
}

void Communicator::close(Lock& lock) {
    if (acceptor_ != nullptr) acceptor_->forget(roster_.group, layout_.rank());
    links_.clear();
    connections_.links.clear();
    connections_.controls.clear();
    while (true) {
        run_callbacks(lock);
        if (lock.owns_lock()) break;
        lock.lock();  // a waiter has it, to find that all has ended
    }
    // What the group took, while the object may live on for long.
    for (Slot& slot : slots_) slot.context.scratch = {};
    if (connections_.segment == nullptr) return;
    std::vector<bool> dead;
    for (const int rank : layout_.host_ranks()) dead.push_back(deaths_.contains(rank));
    connections_.segment->give_back(dead);
}

}  // namespace ring
