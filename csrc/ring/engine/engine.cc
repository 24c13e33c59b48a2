// See engine.h.
#include "ring/engine/engine.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include "ring/base/clock.h"
#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/fork.h"
#include "ring/base/log.h"
#include "ring/base/membarrier.h"
#include "ring/engine/communicator.h"

namespace ring {
namespace {

// What an event of the engine's epoll is about: a tag in the top byte, a value below.
enum class Source : uint64_t { kKick = 1, kTimer, kAcceptor, kProcess, kGroup };
constexpr int kTagShift = 56;
constexpr uint64_t kValueMask = (uint64_t{1} << kTagShift) - 1;

uint64_t tagged(Source source, uint64_t value) {
    return (static_cast<uint64_t>(source) << kTagShift) | value;
}

void control(const UniqueFd& epoll, int operation, int fd, uint32_t events, uint64_t tag) {
    epoll_event event{.events = events, .data = {.u64 = tag}};
    if (::epoll_ctl(epoll.get(), operation, fd, &event) != 0) throw_errno("epoll_ctl");
}

// Makes an eventfd or a timerfd unreadable, or a pipe that is used like one.
void drain(const UniqueFd& fd) {
    uint64_t numbers[64];
    [[maybe_unused]] const ssize_t got = ::read(fd.get(), numbers, sizeof(numbers));
}

// How long after look_soon() the thread looks, and again after each look that finds somebody at a group.
constexpr std::chrono::microseconds kSoon{500};
// How often the thread looks whether a group that a waiter drove has become idle, to take it over.
constexpr milliseconds kTakeOver{50};
// How long the end of the process waits for the thread; longer only if a callback of the user's hangs.
constexpr milliseconds kSettle{1000};
// No lock guards it: another thread might hold that when this one forks, and would not let go in the child.
std::atomic<Engine*> of_this_process{nullptr};

}  // namespace

Engine::Engine()
    : epoll_(checked_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      kick_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      leaders_([this] { lead(); }) {
    if (!kick_) {
        int ends[2];
        if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) throw_errno("eventfd2 is refused, and so is pipe2");
        kick_ = UniqueFd(ends[0]);
        kick_in_ = UniqueFd(ends[1]);
    }
    control(epoll_, EPOLL_CTL_ADD, kick_.get(), EPOLLIN, tagged(Source::kKick, 0));
    if (timer_) control(epoll_, EPOLL_CTL_ADD, timer_.get(), EPOLLIN, tagged(Source::kTimer, 0));
    leaders_.start();
    if (!membarrier_supported() || membarrier_registered()) return;
    try {
        registrar_ = std::thread(membarrier_register);
    } catch (const std::system_error&) {
        membarrier_register();  // there is no thread left that would do it beside the rest
    }
}

Engine::~Engine() {
    leaders_.stop([this] { wake(); });
    if (registrar_.joinable()) registrar_.join();
}

Engine& Engine::of_process() {
    if (Engine* const engine = if_any()) return *engine;
    auto made = std::make_unique<Engine>();
    Engine* current = of_this_process.load(std::memory_order_acquire);
    while (current == nullptr || current->forks_ != fork_count())
        // Never destroyed: at the end of the process other threads may still be in it.
        if (of_this_process.compare_exchange_weak(current, made.get(), std::memory_order_acq_rel))
            return *made.release();
    return *current;  // another thread was faster
}

Engine* Engine::if_any() {
    // A forked child has neither the threads nor the descriptors of its parent, so it starts anew.
    Engine* const engine = of_this_process.load(std::memory_order_acquire);  // pairs with of_process()
    return engine != nullptr && engine->forks_ == fork_count() ? engine : nullptr;
}

void Engine::kick(const Communicator* group) {
    leaders_.need();  // a callback may have posted something, and wait for it next
    agenda_.want(group);
    wake();
}

void Engine::wake() {
    const uint64_t one = 1;
    // It can only fail where the counter, or the pipe, is full, and then the thread is woken anyway.
    [[maybe_unused]] const ssize_t written = ::write((kick_in_ ? kick_in_ : kick_).get(), &one, sizeof(one));
}

void Engine::look_soon(const Communicator* group) {
    if (!timer_) return kick(group);
    agenda_.want_soon(group);
    // Acquire and release: where it runs already, the thread that it wakes finds what this one has left.
    if (timer_runs_.exchange(true, std::memory_order_acq_rel)) return;
    const itimerspec soon{.it_interval = {}, .it_value = {0, std::chrono::nanoseconds(kSoon).count()}};
    if (::timerfd_settime(timer_.get(), 0, &soon, nullptr) == 0) return;
    timer_runs_.store(false, std::memory_order_relaxed);
    kick(group);
}

Acceptor& Engine::acceptor() {
    const std::lock_guard lock(mutex_);
    if (acceptor_ == nullptr) {
        auto acceptor = std::make_unique<Acceptor>(config().port_range);
        control(epoll_, EPOLL_CTL_ADD, acceptor->fd(), EPOLLIN, tagged(Source::kAcceptor, 0));
        acceptor_ = std::move(acceptor);
    }
    return *acceptor_;
}

Acceptor* Engine::existing_acceptor() {
    const std::lock_guard lock(mutex_);
    return acceptor_.get();
}

void Engine::add(const std::shared_ptr<Communicator>& group, const std::map<int, Process>& processes) {
    std::set<int> dead;
    {
        const std::lock_guard lock(mutex_);
        groups_[group.get()] = {group, processes};
        control(epoll_, EPOLL_CTL_ADD, group->epoll_fd(), EPOLLONESHOT,
                tagged(Source::kGroup, reinterpret_cast<uint64_t>(group.get())));
        for (const auto& [rank, process] : processes) {
            const int pid = process.pid;
            if (pid == ::getpid() || watched_.count(pid) != 0) continue;
            UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
            // Containers refuse it with EPERM, old kernels and sandboxes with ENOSYS.
            if (!fd && errno != ESRCH) fd = Lifeline::hold(process.lifeline);
            if (!fd) {
                dead.insert(pid);
                continue;
            }
            control(epoll_, EPOLL_CTL_ADD, fd.get(), EPOLLIN, tagged(Source::kProcess, pid));
            watched_[pid] = std::move(fd);
        }
    }
    for (const int pid : dead) report_death(pid);
    agenda_.add(group.get());
    wake();
}

void Engine::remove(Communicator* group) {
    agenda_.remove(group);
    const std::lock_guard lock(mutex_);
    if (groups_.erase(group) == 0) return;
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, group->epoll_fd(), nullptr);
    // Processes that no group has in it any more need no watching.
    std::vector<int> idle;
    for (const auto& [pid, _] : watched_)
        if (std::none_of(groups_.begin(), groups_.end(), [&](const auto& entry) {
                const auto& processes = entry.second.processes;
                return std::any_of(processes.begin(), processes.end(),
                                   [&](const auto& one) { return one.second.pid == pid; });
            }))
            idle.push_back(pid);
    for (const int pid : idle) unwatch(pid);
}

void Engine::unwatch(int pid) {
    const auto at = watched_.find(pid);
    if (at == watched_.end()) return;
    // Closing alone does not end it where a child that was being forked has a copy.
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, at->second.get(), nullptr);
    watched_.erase(at);
}

std::shared_ptr<Communicator> Engine::whole(const void* world) {
    for (auto& group : groups())
        if (world != nullptr && group->world() == world && group->of_all()) return group;
    return nullptr;
}

std::optional<std::string> Engine::ended(const void* world, int global_rank) {
    for (const auto& group : groups())
        if (world != nullptr && group->world() == world)
            if (auto words = group->ended(global_rank)) return words;
    return std::nullopt;
}

void Engine::arm(Communicator* group) {
    const std::lock_guard lock(mutex_);
    if (groups_.count(group) == 0) return;
    control(epoll_, EPOLL_CTL_MOD, group->epoll_fd(), EPOLLIN | EPOLLONESHOT,
            tagged(Source::kGroup, reinterpret_cast<uint64_t>(group)));
}

std::shared_ptr<Communicator> Engine::alive(const Communicator* group) {
    const std::lock_guard lock(mutex_);
    const auto at = groups_.find(const_cast<Communicator*>(group));  // only compared: it may be gone
    return at == groups_.end() ? nullptr : at->second.communicator.lock();
}

void Engine::woken(const Communicator* group) {
    // Let go of without the lock: where nobody else holds it any more, it leaves, and that takes the lock.
    if (const auto communicator = alive(group)) communicator->baton().woken();
    agenda_.want(group);
}

void Engine::shutdown_all() {
    const auto all = groups();
    std::vector<Communicator*> leaving;
    for (const auto& group : all) leaving.push_back(group.get());
    Communicator::shutdown(leaving);
    // Two turns: the one that may be under way, and one that began after the groups were shut down.
    const uint64_t seen = turns_.load(std::memory_order_acquire);  // pairs with run()
    const Deadline deadline = Deadline::after(kSettle);
    while ((turns_.load(std::memory_order_acquire) < seen + 2 || leaders_.foreign_elsewhere()) &&
           !deadline.passed()) {
        wake();
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
}

std::vector<std::shared_ptr<Communicator>> Engine::groups() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Communicator>> alive;
    for (const auto& [_, group] : groups_)
        if (auto communicator = group.communicator.lock()) alive.push_back(std::move(communicator));
    return alive;
}

void Engine::report_death(int pid) {
    std::vector<std::pair<std::shared_ptr<Communicator>, int>> bereaved;
    {
        const std::lock_guard lock(mutex_);
        unwatch(pid);
        for (const auto& [_, group] : groups_)
            for (const auto& [rank, process] : group.processes)
                if (process.pid == pid)
                    if (auto communicator = group.communicator.lock())
                        bereaved.emplace_back(communicator, rank);
    }
    for (const auto& [communicator, rank] : bereaved) communicator->process_ended(rank);
}

void Engine::lead() {
    std::array<epoll_event, 64> events;
    milliseconds timeout{0};
    while (leads()) {
        const int count =
            ::epoll_wait(epoll_.get(), events.data(), events.size(), static_cast<int>(timeout.count()));
        bool knocking = false;
        for (int i = 0; i < count; ++i) {
            const uint64_t value = events[i].data.u64 & kValueMask;
            const auto source = static_cast<Source>(events[i].data.u64 >> kTagShift);
            switch (source) {
                case Source::kKick:
                    drain(kick_);
                    break;
                case Source::kTimer:
                    drain(timer_);
                    timer_runs_.exchange(false,
                                         std::memory_order_acq_rel);  // before it is asked who wanted it
                    agenda_.timer_has_run_out();
                    break;
                case Source::kAcceptor:
                    knocking = true;
                    break;
                case Source::kProcess:
                    report_death(static_cast<int>(value));
                    break;
                case Source::kGroup:
                    woken(reinterpret_cast<Communicator*>(value));
                    break;
            }
        }
        Clock::time_point next = Clock::time_point::max();
        if (Acceptor* acceptor = existing_acceptor()) {
            if (knocking || acceptor->next_deadline() <= Clock::now()) acceptor->handle();
            next = std::min(next, acceptor->next_deadline());
        }
        for (const Agenda::Item& item : agenda_.items(Clock::now())) {
            if (!leads()) return;
            serve(item);
        }
        next = std::min(next, agenda_.next());
        turns_.fetch_add(1, std::memory_order_release);  // pairs with shutdown_all()
        timeout =
            next == Clock::time_point::max() ? milliseconds(-1) : milliseconds(Deadline(next).poll_ms());
    }
}

void Engine::serve(const Agenda::Item& item) {
    const auto group = alive(item.group);
    if (group == nullptr) return agenda_.done(item, Clock::time_point::max());
    Baton& baton = group->baton();
    if (item.by_timer && group->attended()) {
        look_soon(item.group);
        return agenda_.done(item, baton.due());
    }
    switch (baton.serve()) {
        case Baton::Served::kArmed:
            return agenda_.done(item, baton.due());
        case Baton::Served::kTaken:
            // A thread that does not lead any more leaves it to its successor.
            if (leads()) agenda_.done(item, std::min(baton.due(), Clock::now() + kTakeOver));
            return;
        case Baton::Served::kAtWork:
            return;  // again at once, after the others
    }
}

}  // namespace ring
