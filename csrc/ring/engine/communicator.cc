// The life of a group: how it is formed, what is posted to it, how it fails. See communicator.h; how it is
// driven is in drive.cc, how it is left in leave.cc.
#include "ring/engine/communicator.h"

#include <sys/epoll.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/log.h"
#include "ring/base/process.h"
#include "ring/collectives/collectives.h"
#include "ring/engine/engine.h"
#include "ring/engine/measure.h"
#include "ring/fault/timeouts.h"
#include "ring/topology/identity.h"
#include "ring/topology/siblings.h"

namespace ring {
namespace {

// Its address tells threads apart.
thread_local const char this_thread = 0;
// Of a mismatch.
constexpr const char* kSeveralCallers =
    " several threads share this group, and other ranks may run theirs in another order: give each thread a "
    "group of its own";

// Where all that a rank waits for is made by the ranks that it yields to, a turn of each of them is worth
// waiting for: going to sleep and being woken costs them more.
constexpr int kYieldLonger = 4;
// See spinner.h. Inside a host whose cores suffice it never yields.
constexpr unsigned kPausesInHost = std::numeric_limits<unsigned>::max();
constexpr unsigned kPausesBetweenHosts = 6;

Party party_of(const Communicator::Settings& settings, uint64_t world) {
    return {.rank = settings.rank,
            .size = settings.size,
            .global_ranks = settings.global_ranks,
            .world = settings.global_ranks.empty() ? 0 : world};
}

// Longer lists are cut.
constexpr size_t kListed = 16;

// What to call a group that is not of all ranks, in messages.
std::string title_of(Engine& engine, const Communicator::Settings& settings) {
    const auto& ranks = settings.global_ranks;
    if (ranks.empty()) return "";
    const auto whole = engine.whole(settings.world);
    if (whole && whole->layout().size() == settings.size && std::is_sorted(ranks.begin(), ranks.end()))
        return "";
    std::string text;
    for (size_t r = 0; r < std::min(ranks.size(), kListed); ++r)
        text += (r == 0 ? "" : ", ") + std::to_string(ranks[r]);
    return "[" + text + (ranks.size() > kListed ? ", ...]" : "]");
}

SizeTable parse_table(const std::string& text) {
    try {
        return SizeTable(text);
    } catch (const ConfigError& error) {
        throw ConfigError("TORCH_RING_SIZE_TABLE='" + text + "' is not allowed: " + error.what());
    }
}

}  // namespace

std::shared_ptr<Communicator> Communicator::create(Engine& engine, Store& store, const Settings& settings) {
    const auto world = engine.whole(settings.world);
    Rendezvous meeting(store, party_of(settings, world ? world->number() : 0), settings.timeout);
    Crossings crossings(meeting, world ? &world->crossings_ : nullptr);
    std::optional<Siblings> siblings;
    const Watches watches{.before_all_came = [&]() -> std::optional<std::string> {
                              crossings.look();
                              if (!settings.global_ranks.empty()) return std::nullopt;
                              if (!siblings) siblings.emplace(settings.rank, settings.size);
                              return siblings->ended();
                          },
                          .always = [&]() -> std::optional<std::string> {
                              for (int r = 0; r < settings.size && settings.world != nullptr; ++r) {
                                  if (r == settings.rank) continue;
                                  const auto words = engine.ended(settings.world, meeting.party().global(r));
                                  if (!words) continue;
                                  crossings.look(true);  // it may have ended of that
                                  return words;
                              }
                              return std::nullopt;
                          }};
    try {
        auto group = form_in_some_round(engine, meeting, watches, settings);
        crossings.take_back();
        return group;
    } catch (const Crossed& error) {
        crossings.tell(error);
        throw;
    }
}

std::shared_ptr<Communicator> Communicator::form_in_some_round(Engine& engine, Rendezvous& meeting,
                                                               const Watches& watches,
                                                               const Settings& settings) {
    while (true) {
        try {
            return form(engine, meeting, watches, settings);
        } catch (const Superseded&) {
            // Once more, in the round that the others are in.
        } catch (...) {
            try {
                meeting.give_up(std::current_exception(), describe_self(meeting.party()));
            } catch (const Superseded&) {
                continue;
            }
            throw;
        }
    }
}

void Communicator::refuse(Store& store, const Settings& settings, const std::exception_ptr& error) {
    Rendezvous meeting(store, party_of(settings, 0), settings.timeout);
    meeting.give_up(error, describe_self(meeting.party()));
}

std::shared_ptr<Communicator> Communicator::form(Engine& engine, Rendezvous& meeting, const Watches& watches,
                                                 const Settings& settings) {
    const SizeTable table = parse_table(settings.config.size_table);
    auto doorbell = std::make_unique<Doorbell>();
    meeting.watch([&]() -> std::optional<std::string> {
        if (auto words = watches.always()) return words;
        return watches.before_all_came();
    });
    Roster roster =
        exchange_cards(meeting, settings.config, settings.host_id, doorbell->name(), engine.lifeline());
    Layout layout(settings.rank, roster.members, settings.config.algorithm == Algorithm::kFlat);
    const auto ended_on_host = [&]() -> std::optional<int> {
        for (const int rank : layout.host_ranks())
            if (ring::process_ended(layout.member(rank).pid, layout.member(rank).process)) return rank;
        return std::nullopt;
    };
    meeting.watch(watches.always);
    if (const auto rank = ended_on_host(); rank && !meeting.has_formed()) {
        // What it left may be of an earlier attempt: then it comes again, to another round.
        if (is_restarted()) meeting.leave();
        const Deadline comes_again(Clock::now() + kComesAgain, &meeting);
        while (!comes_again.passed()) std::this_thread::sleep_for(Deadline::kSlice);
        throw Gone(not_on_this_host(layout, *rank));
    }
    // Who has formed the group may end at once: what this rank still needs to form it is on its way then, and
    // the group itself tells of that end as of any other.
    Clock::time_point ended_since = Clock::time_point::max();
    meeting.watch([&]() -> std::optional<std::string> {
        if (const auto rank = ended_on_host()) {
            ended_since = std::min(ended_since, Clock::now());
            if (Clock::now() >= ended_since + kOnItsWay || !meeting.has_formed())
                return layout.describe(*rank) + " died: its process ended";
        }
        return watches.always();
    });
    const Deadline deadline = meeting.deadline();
    Acceptor* acceptor = nullptr;
    Dialer dialer;
    if (layout.hosts() > 1) {
        acceptor = &engine.acceptor();
        const auto& networks = roster.networks;
        const bool one_machine =
            std::count(networks.begin(), networks.end(), networks.front()) == layout.size();
        dialer = Dialer(engine.reached(), reach_of_this_host(settings.store_host, one_machine));
        acceptor->expect(roster.group, settings.rank, roster.secret);
    }
    Connections connections;
    Machine machine;
    try {
        connections = connect_group(meeting.store(), layout, roster, *doorbell, acceptor, std::move(dialer),
                                    settings.config.streams, deadline);
        machine =
            measure_machine(meeting.store(), settings.config.link, layout, roster, connections, deadline);
        meeting.finish();
    } catch (...) {
        if (acceptor != nullptr) acceptor->forget(roster.group, settings.rank);
        throw;
    }
    if (settings.rank == 0)
        log(LogLevel::kInfo, "group of " + std::to_string(layout.size()) + " ranks on " +
                                 std::to_string(layout.hosts()) + " hosts, " +
                                 std::to_string(layout.rails()) + " rings between them, reductions with " +
                                 current_isa());
    Choices choices({.hosts = layout.cells(), .ranks_per_host = layout.rails()}, machine, table);
    std::shared_ptr<Communicator> group(
        new Communicator(engine, settings, std::move(layout), std::move(roster), std::move(doorbell),
                         std::move(connections), std::move(choices), acceptor),
        [](Communicator* last) {
            std::unique_ptr<Communicator> owned(last);
            // In a forked child a thread of the parent's may seem to wait in it forever.
            if (owned->inherited()) (void)owned.release();
        });
    if (settings.rank == 0 && group->layout_.cells() > 1)
        log(LogLevel::kInfo, "links between hosts: " + ring::describe(machine.link) +
                                 "; what runs on them:\n" + group->tuning_.text());
    std::map<int, Engine::Process> processes;
    for (const int rank : group->layout_.host_ranks())
        if (rank != settings.rank)
            processes[rank] = {group->layout_.member(rank).pid, group->roster_.lifelines[rank]};
    engine.add(group, processes);
    return group;
}

Communicator::Communicator(Engine& engine, const Settings& settings, Layout layout, Roster roster,
                           std::unique_ptr<Doorbell> doorbell, Connections connections, Choices choices,
                           Acceptor* acceptor)
    : engine_(engine),
      config_(settings.config),
      world_(settings.world),
      of_all_(settings.global_ranks.empty()),
      title_(title_of(engine, settings)),
      layout_(std::move(layout)),
      roster_(std::move(roster)),
      doorbell_(std::move(doorbell)),
      connections_(std::move(connections)),
      acceptor_(acceptor),
      epoll_(checked_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      crowded_(static_cast<int>(layout_.host_ranks().size()) > usable_cpus()),
      forks_(fork_count()),
      timeout_(settings.timeout),
      baton_(*this, engine, config_.spin_us * (crowded_ && layout_.cells() == 1 ? kYieldLonger : 1),
             crowded_ ? 0 : (layout_.cells() == 1 ? kPausesInHost : kPausesBetweenHosts)),
      tuning_(layout_, std::move(choices)),
      group_{
          .layout = layout_, .config = config_, .tuning = tuning_, .id = roster_.group, .mailbox = &mailbox_},
      mailbox_(
          layout_.rank(), layout_.size(), roster_.group,
          {.single_copy = config_.single_copy, .crowded = crowded_}, [this](int rank) { dial(rank); },
          [this](int rank) { return layout_.describe(rank); }),
      watch_(*this, layout_, connections_.segment.get(), connections_.controls, mailbox_,
             [this](int rank) { return neighbours(layout_, rank); }) {
    group_.segment = layout_.local_size() > 1 ? connections_.segment.get() : nullptr;
    group_.links.resize(static_cast<size_t>(layout_.cells()));
    for (const auto& [position, link] : connections_.links) {
        group_.links[position] = link.get();
        links_.push_back(link.get());
    }
    slots_.reserve(kInFlight);
    for (uint64_t i = 0; i < kInFlight; ++i)
        slots_.push_back({.context = {.group = group_, .segment = group_.segment},
                          .operation = nullptr,
                          .strand = std::nullopt});
    watch(doorbell_->fd());
    for (const int fd : connections_.data_fds) watch(fd);
    for (const auto& control : connections_.controls) watch(control->fd());
    open_mailbox();
}

Communicator::~Communicator() {
    shutdown();
}

void Communicator::watch(int fd) {
    // Edge-triggered: a link whose next frame nobody has posted yet must not wake anyone again and again.
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
}

void Communicator::check_process(const std::string& what) const {
    if (inherited())
        throw ConfigError(
            what + ": the group belongs to the parent of this forked process; make a group of its own");
}

milliseconds Communicator::group_timeout() const {
    const std::lock_guard lock(queue_mutex_);
    return timeout_;
}

void Communicator::set_timeout(milliseconds timeout) {
    check_process("setting the timeout");
    const std::lock_guard lock(queue_mutex_);
    timeout_ = timeout;
}

void Communicator::check(const Arguments& arguments) const {
    check_arguments(arguments, layout_.rank(), layout_.size());
    if (inherited()) check_process(ring::describe(arguments.signature));
}

std::shared_ptr<Operation> Communicator::post(Arguments arguments, std::optional<milliseconds> timeout,
                                              Operation::OnDone on_done) {
    check(arguments);
    if (arguments.signature.uneven != 0) arguments.signature.root = digest_of(arguments.output_counts);
    const bool message = traits_of(arguments.signature.kind).message;
    std::shared_ptr<Operation> operation;
    std::exception_ptr refused;
    std::optional<Failure> reaches_back;
    {
        const std::lock_guard lock(queue_mutex_);
        operation = std::make_shared<Operation>(std::move(arguments), last_tick(), timeout.value_or(timeout_),
                                                std::move(on_done));
        if (!message) {
            operation->number = ++posted_;
            if (caller_ != &this_thread && std::exchange(caller_, &this_thread) != nullptr)
                several_callers_ = true;
        }
        operation->small = is_small(*operation);
        if (closed_) {
            refused =
                Failure{FailureKind::kAborted, "the group was shut down"}.exception(describe(*operation));
        } else if (const Failure* failure = failures_.of(operation->number)) {
            refused = failure->exception(describe(*operation));
            // Others may wait in it for this rank, and need not fail of what has failed so far.
            if (!message && operation->number < failures_.from())
                reaches_back = Failure{failure->kind, failure->text, operation->number};
        } else {
            if (!operation->small) large_.fetch_add(1, std::memory_order_relaxed);  // only a hint
            if (message) {
                message_queue_.push_back(operation);
                message_posts_.store(message_queue_.size(), std::memory_order_seq_cst);
            } else {
                queue_.push_back(operation);
                queued_.store(queue_.size(), std::memory_order_seq_cst);
            }
            unfinished_.fetch_add(1, std::memory_order_release);  // pairs with has_work()
        }
    }
    if (reaches_back) fail(std::move(*reaches_back));
    if (refused) {
        operation->finish(refused);
        if (operation->on_done) std::exchange(operation->on_done, nullptr)(refused);
    } else if (baton_.sleeps()) {
        doorbell_->ring(doorbell_->name());
    }
    return operation;
}

void Communicator::hand_over(std::span<const std::shared_ptr<Operation>> posted) {
    if (inherited()) return;  // post() has refused them
    if (!begin_small(posted)) engine_.kick();
}

void Communicator::abort(const std::string& why) {
    fail({FailureKind::kAborted, layout_.name(layout_.rank()) + " aborted the group: " + why, 0});
}

void Communicator::fail(Failure failure) {
    if (inherited()) return;
    {
        const std::lock_guard lock(queue_mutex_);
        if (closed_ || failure.operation >= failures_.from()) return;
        if (failure.kind == FailureKind::kMismatch && several_callers_ &&
            failure.text.find(kSeveralCallers) == std::string::npos)
            failure.text += ". On " + layout_.name(layout_.rank()) + kSeveralCallers;
        std::vector<Failure> told;
        if (connections_.segment != nullptr) {
            // What was posted before comes first, so that the ranks of the host tell the same story.
            connections_.segment->post_failure(failure);
            told = connections_.segment->failures();
        }
        told.push_back(std::move(failure));
        for (Failure& one : told) {
            if (!failures_.add(one)) continue;
            log(LogLevel::kInfo, layout_.name(layout_.rank()) + ": the group " + title_ +
                                     (title_.empty() ? "" : " ") + "failed: " + one.text);
        }
        fails_from_.store(failures_.from(), std::memory_order_release);  // pairs with step()
    }
    doorbell_->ring(doorbell_->name());  // a waiter of this process may sleep
    engine_.kick();
}

std::optional<std::string> Communicator::ended(int global_rank) const {
    for (int rank = 0; rank < layout_.size(); ++rank) {
        if (layout_.global_rank(rank) != global_rank || rank == layout_.rank()) continue;
        const std::string who = layout_.describe(rank) + " died: ";
        const Member& member = layout_.member(rank);
        if (layout_.same_host(rank, layout_.rank()) && ring::process_ended(member.pid, member.process))
            return who + "its process ended";
        // Who asks asks again; nobody holds the lock for long where there is nothing to do.
        if (const Lock lock = baton_.try_take(); lock.owns_lock())
            if (const auto why = watch_.death_of(rank)) return who + *why;
        // A neighbour of the dead may have said so to all that waited for it.
        if (const auto known = failure(); known && known->text.starts_with(who)) return known->text;
    }
    return std::nullopt;
}

void Communicator::process_ended(int rank) {
    watch_.process_ended(rank);
    engine_.kick();
}

void Communicator::set_description(const std::string& text) {
    const std::lock_guard lock(queue_mutex_);  // fail() may be telling of a death
    title_ = "'" + text + "'" + (title_.empty() ? "" : " ") + title_;
}

Failure Communicator::reason(uint64_t operation) const {
    const std::lock_guard lock(queue_mutex_);
    if (const Failure* failure = failures_.of(operation)) return *failure;
    return {FailureKind::kAborted, "the group was shut down", 0};
}

Signature Communicator::renamed(Signature called) const {
    if (called.names_rank()) called.root = layout_.global_rank(called.root);
    return called;
}

std::string Communicator::describe(const Operation& operation) const {
    return operation.describe(renamed(operation.arguments.signature)) +
           (title_.empty() ? "" : " of the group " + title_);
}

std::string Communicator::describe_timeout(const Operation& operation) const {
    return describe(operation) + " did not end within its timeout of " +
           std::to_string(operation.timeout.count()) + " ms on " + layout_.name(layout_.rank());
}

std::optional<Failure> Communicator::failure() const {
    if (inherited())
        return Failure{FailureKind::kAborted, "the group belongs to the parent of this forked process", 0};
    const std::lock_guard lock(queue_mutex_);
    if (const Failure* first = failures_.first()) return *first;
    if (closed_) return Failure{FailureKind::kAborted, "the group was shut down", 0};
    return std::nullopt;
}

uint64_t Communicator::operations_posted() const {
    if (inherited()) return posted_;  // nobody else is here who would change it
    const std::lock_guard lock(queue_mutex_);
    return posted_;
}

}  // namespace ring
