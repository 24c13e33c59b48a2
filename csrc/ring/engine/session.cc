// How what is under way is driven: a step, a look at what is not urgent, a sleep in the group's epoll, on its
// sockets and on the doorbell that the ranks of its host ring. See session.h; how it ends is in leave.cc.
#include "ring/engine/session.h"

#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "ring/base/error.h"
#include "ring/base/float_environment.h"
#include "ring/base/mismatch.h"
#include "ring/fault/timeouts.h"

namespace ring {
namespace {

// After so many, each of which moves some chunks at most, whoever drives looks up.
constexpr int kPassesPerStep = 16;

}  // namespace

Session::Session(Owner& owner, const Config& config, Parts parts)
    : owner_(owner),
      layout_(std::move(parts.layout)),
      roster_(std::move(parts.roster)),
      doorbell_(std::move(parts.doorbell)),
      connections_(std::move(parts.connections)),
      segment_(connections_.segment.get()),
      core_sharing_(segment_, layout_.crowded(), ::sched_getcpu),
      epoll_(checked_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      tuning_(layout_, std::move(parts.choices)),
      p2p_(layout_, roster_.group, connections_,
           {.single_copy = config.single_copy, .crowded = layout_.crowded()},
           {.watch = [this](int fd) { watch(fd); },
            .timeout = [this] { return owner_.timeout(); },
            .ended = [this](const OperationPtr& operation) { owner_.ended(operation); },
            .visited =
                [this] {
                    ring();
                    owner_.kick();
                }}),
      offers_(segment_, config.single_copy, layout_.crowded()),
      group_{.layout = layout_,
             .config = config,
             .tuning = tuning_,
             .id = roster_.group,
             .host = host_,
             .memory = memory_,
             .offers = &offers_,
             .segment = layout_.local_size() > 1 ? segment_ : nullptr,
             .mailbox = &p2p_.mailbox()},
      pipeline_(group_, tuning_),
      watch_(*this, layout_, segment_, connections_.controls, p2p_.mailbox(),
             [this](int rank) { return neighbours(layout_, rank); }) {
    group_.links.resize(static_cast<size_t>(layout_.cells()));
    for (const auto& [position, link] : connections_.links) {
        group_.links[position] = link.get();
        links_.push_back(link.get());
        for (const int fd : link->fds()) watch(fd);
    }
    watch(doorbell_->fd());
    for (const auto& control : connections_.controls) watch(control->fd());
}

void Session::watch(int fd) {
    // Edge-triggered: a link whose next frame nobody has posted yet must not wake anyone again and again.
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
}

Signature Session::renamed(Signature called) const {
    if (called.names_rank()) called.root = layout_.global_rank(called.root);
    return called;
}

// ---- one step ----

template <typename Part>
void Session::guard(Part part) {
    const FloatEnvironment ours;  // for all reductions, which run in here
    try {
        part();
    } catch (const DifferentCalls& calls) {
        fail(without_earlier(watch_.mismatch(calls)));
    } catch (const DifferentPast& past) {
        fail(without_earlier(mismatch(past)));
    } catch (...) {
        fail(without_earlier(Failure::of(std::current_exception())));
    }
}

Failure Session::without_earlier(Failure failure) const {
    const bool of_calls = failure.kind == FailureKind::kMismatch || failure.kind == FailureKind::kTimeout;
    if (of_calls && failure.operation == 0) failure.operation = ended_ + 1;
    return failure;
}

bool Session::step() {
    bool moved = true;  // where it throws
    guard([&] {
        bool any = false;
        for (int passes = 0; passes < kPassesPerStep && pass(); ++passes) any = true;
        if (any) watch_.moved();
        moved = any;
    });
    return moved;
}

bool Session::pass() {
    // What fails meanwhile is heeded by the next pass.
    const uint64_t fails_from = owner_.fails_from();
    bool moved = begin_next(fails_from);
    moved = progress_links() || moved;
    moved = take_messages() || moved;
    moved = p2p_.progress(watch_) || moved;
    moved = pipeline_.advance(fails_from) || moved;
    moved = pipeline_.retire(fails_from, [this](const OperationPtr& operation) {
        owner_.ended(operation);
        ended(operation->number, operation->arguments.signature);
    }) || moved;
    return moved;
}

void Session::ended(uint64_t number, const Signature& called) {
    ended_ = number;
    p2p_.mailbox().end_of(number, called);
}

bool Session::begin_next(uint64_t fails_from) {
    if (pipeline_.takes())
        if (OperationPtr next = owner_.next_collective(fails_from)) {
            watch_.entered(next->number);
            pipeline_.put(std::move(next));
        }
    return pipeline_.start(fails_from);
}

bool Session::take_messages() {
    bool any = false;
    while (OperationPtr message = owner_.next_message()) {
        p2p_.post(std::move(message));
        any = true;
    }
    return any;
}

void Session::begin(uint64_t number, const Arguments& arguments) {
    message_ = number == 0;
    if (message_) return guard([&] { p2p_.begin(arguments); });
    watch_.entered(number);
    pipeline_.enter(number, arguments);
}

bool Session::ends() {
    if (message_) return message_ends();
    if (!pipeline_.all_have_entered()) return false;
    guard([this] {
        const Context& entered = pipeline_.take_entered();
        watch_.moved();
        ended(entered.operation, entered.signature());
    });
    return true;
}

bool Session::message_ends() {
    bool ended = false;
    guard([&] {
        ended = p2p_.ends();
        if (ended) watch_.moved();
    });
    return ended;
}

void Session::adopt(OperationPtr operation) {
    message_ ? p2p_.adopt(std::move(operation)) : pipeline_.adopt(std::move(operation));
}

bool Session::progress_links() {
    bool moved = false;
    for (Link* link : links_) {
        if (!link->busy()) continue;
        try {
            moved = link->progress() || moved;
        } catch (const PeerGone& gone) {
            watch_.lose(link->peer(), gone.what());
        }
    }
    return moved;
}

Failure Session::mismatch(const DifferentPast& past) {
    try {
        // A message of that earlier operation may be here, or in the kernel, and says more.
        listen(Clock::time_point{});
        p2p_.mailbox().progress();
    } catch (const DifferentCalls& calls) {
        return watch_.mismatch(calls);
    } catch (...) {
        return Failure::of(std::current_exception());
    }
    const std::string me = layout_.name(layout_.rank());
    std::string text = layout_.name(past.peer()) + " and " + me + " called different things before " +
                       ring::describe(renamed(past.called())) + ", operation " +
                       std::to_string(past.operation());
    if (const auto last = p2p_.mailbox().ended(past.operation() - 1))
        text += "; the last that ended on " + me + " was " + ring::describe(renamed(*last));
    return {FailureKind::kMismatch, text + ". Every rank must call the same, in the same order",
            past.operation()};
}

// ---- what is not urgent ----

void Session::look_up() {
    watch_.look();
    if (const auto late = p2p_.late())
        fail(without_earlier(
            {FailureKind::kTimeout, owner_.describe_timeout(*late->operation) + ": " + late->why, 0}));
    const Operation* const oldest = pipeline_.oldest();
    // What it waits for may have come since the last step, while this thread had no core.
    if (oldest != nullptr && oldest->deadline.passed() && !pipeline_.oldest_is_ready())
        fail(without_earlier(
            {FailureKind::kTimeout, owner_.describe_timeout(*oldest) + ": " + watch_.blame(), 0}));
}

std::optional<Watched::Oldest> Session::oldest() const {
    const Operation* const oldest = pipeline_.oldest();
    if (oldest == nullptr) return std::nullopt;
    return Oldest{oldest->number, oldest->arguments.signature, oldest->posted, oldest->deadline.at()};
}

uint64_t Session::needs(int rank, uint64_t called) const {
    uint64_t from = kNone;
    for (const Link* link : links_)
        if (link->peer() == rank && link->busy()) from = std::min(from, link->operation());
    return pipeline_.needs(rank, called, from);
}

uint64_t Session::oldest_number() const {
    const Operation* const next = pipeline_.next();
    return next == nullptr ? kNone : next->number;
}

// ---- sleeping ----

bool Session::ready() const {
    const uint64_t fails_from = owner_.fails_from();
    return p2p_.mailbox().ready() || watch_.has_news() || p2p_.has_visitors() ||
           pipeline_.can_start(fails_from) || pipeline_.ready(fails_from);
}

bool Session::slow() const {
    return p2p_.mailbox().slow() ||
           std::any_of(links_.begin(), links_.end(), [](const Link* link) { return link->slow(); });
}

Clock::time_point Session::wake_time() const {
    auto at = std::min(watch_.next(), p2p_.next());
    if (under_way() && segment_ != nullptr && segment_->hard_of_hearing())
        at = std::min(at, Clock::now() + kListenAgain);
    const Operation* const oldest = pipeline_.oldest();
    return oldest == nullptr ? at : std::min(at, oldest->deadline.at());
}

void Session::doze() {
    if (segment_ != nullptr && under_way()) segment_->sleep_begin();
}

void Session::awake() {
    if (segment_ != nullptr) segment_->sleep_end();
}

bool Session::listen(Clock::time_point until) {
    std::array<epoll_event, 16> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), Deadline(until).poll_ms());
    for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == doorbell_->fd())
            doorbell_->drain();
        else
            p2p_.has_event(events[i].data.fd);
    }
    if (count > 0) watch_.read_controls();
    return count > 0;
}

// ---- failures ----

bool Session::has_failures(uint64_t fails_from) const {
    return segment_ != nullptr && segment_->fails_from() < fails_from;
}

std::vector<Failure> Session::failures() const {
    return segment_ != nullptr ? segment_->failures() : std::vector<Failure>{};
}

void Session::post(const Failure& failure) {
    if (segment_ != nullptr) segment_->post_failure(failure);
}

void Session::tell(const Failure& failure) {
    for (const auto& control : connections_.controls) control->send(Control::Type::kFailure, encode(failure));
}

std::vector<OperationPtr> Session::abandon() {
    if (segment_ != nullptr) segment_->withdraw();
    for (Link* link : links_) link->abort();
    // Messages first: those of collectives that are under way must not reach the memory that these let go of.
    std::vector<OperationPtr> messages = p2p_.abandon();
    std::vector<OperationPtr> abandoned = pipeline_.abandon();
    abandoned.insert(abandoned.end(), messages.begin(), messages.end());
    return abandoned;
}

}  // namespace ring
