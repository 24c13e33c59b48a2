// How a group is formed: the ranks meet in the store, connect, measure what their links do, and agree that
// all have come as far. See communicator.h.
#include <algorithm>
#include <thread>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/log.h"
#include "ring/base/process.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"
#include "ring/engine/measure.h"
#include "ring/fault/timeouts.h"
#include "ring/kernels/reduce.h"
#include "ring/topology/identity.h"
#include "ring/topology/siblings.h"

namespace ring {
namespace {

Party party_of(const Communicator::Settings& settings, uint64_t world) {
    return {.rank = settings.rank,
            .size = settings.size,
            .global_ranks = settings.global_ranks,
            .world = settings.global_ranks.empty() ? 0 : world};
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
    std::unique_ptr<TcpFabric> fabric;
    if (layout.hosts() > 1) {
        const auto& networks = roster.networks;
        const bool one_machine =
            std::count(networks.begin(), networks.end(), networks.front()) == layout.size();
        std::vector<Station> stations;
        for (int rank = 0; rank < layout.size(); ++rank)
            stations.push_back({layout.describe(rank), layout.member(rank).host_id, networks[rank]});
        fabric = std::make_unique<TcpFabric>(
            engine.acceptor(),
            Dialer(engine.reached(), reach_of_this_host(settings.store_host, one_machine), settings.rank,
                   std::move(stations)),
            roster.group, roster.secret);
    }
    Connections connections = connect_group(meeting.store(), layout, roster, *doorbell, std::move(fabric),
                                            settings.config.streams, deadline);
    const Machine machine =
        measure_machine(meeting.store(), settings.config.link, layout, roster, connections, deadline);
    std::vector<std::string> done_with = keys_of_addresses(roster);
    std::ranges::move(keys_of_measuring(roster), std::back_inserter(done_with));
    Choices choices({.hosts = layout.cells(), .ranks_per_host = layout.rails()}, machine, table);
    std::map<int, Engine::Process> processes;
    for (const int rank : layout.host_ranks())
        if (rank != settings.rank) processes[rank] = {layout.member(rank).pid, roster.lifelines[rank]};
    Segment* const segment = connections.segment.get();
    const Doorbell& rung = *doorbell;
    std::shared_ptr<Communicator> group(
        new Communicator(engine, settings,
                         {.layout = layout,  // a copy: ended_on_host() still reads it
                          .roster = std::move(roster),
                          .doorbell = std::move(doorbell),
                          .connections = std::move(connections),
                          .choices = std::move(choices)}),
        [](Communicator* last) {
            std::unique_ptr<Communicator> owned(last);
            // In a forked child a thread of the parent's may seem to wait in it forever.
            if (owned->inherited()) (void)owned.release();
        });
    try {
        if (segment != nullptr) await_host(*segment, layout, rung, deadline);
        meeting.finish(std::move(done_with));
        engine.add(group, processes);
    } catch (...) {
        // Others may have formed it, since this rank had come so far.
        group->fail(failure_of(std::current_exception(), describe_self(meeting.party())));
        throw;
    }
    if (settings.rank == 0)
        log(LogLevel::kInfo, "group of " + std::to_string(layout.size()) + " ranks on " +
                                 std::to_string(layout.hosts()) + " hosts, " +
                                 std::to_string(layout.rails()) + " rings between them, reductions with " +
                                 current_isa());
    if (settings.rank == 0 && layout.cells() > 1)
        log(LogLevel::kInfo, "links between hosts: " + ring::describe(machine.link) +
                                 "; what runs on them:\n" + group->session_.tuning().text());
    return group;
}

}  // namespace ring
