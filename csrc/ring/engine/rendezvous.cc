// See rendezvous.h.
#include "ring/engine/rendezvous.h"

#include <algorithm>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "ring/base/hex.h"
#include "ring/base/runs.h"
#include "ring/fault/timeouts.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {
namespace {

// How many missing ranks are named; each costs some round trips.
constexpr size_t kNamed = 16;
constexpr size_t kMostRanks = 1 << 20;
// Stands in the place of a failure once a rank has formed the group, so that the ranks decide alike.
const std::string kFormed = "formed=1\n";

// Before what rank 0 has made of the cards: what it says of the group, a line.
constexpr char kMerged = '+';

const std::string kInterrupted = "it was interrupted";

std::string numbers(const std::vector<int>& ranks) {
    std::string text;
    for (const int rank : ranks) text += (text.empty() ? "" : ", ") + std::to_string(rank);
    return text;
}

std::string field(const Card& card, const char* name) {
    const auto at = card.find(name);
    return at == card.end() ? "" : at->second;
}

std::string random_name() {
    const Nonce random = random_nonce();
    return hex({reinterpret_cast<const char*>(random.data()), random.size()});
}

// What a rank writes that cannot go on.
Card failure_card(const std::exception_ptr& error, const std::string& who) {
    Card card;
    const auto fill = [&](const char* kind, const std::string& text) {
        card["kind"] = kind;
        card["failed"] = one_line(text);
    };
    try {
        std::rethrow_exception(error);
    } catch (const Crossed& e) {
        fill("crossed", e.what());
        card["crossing"] = e.crossing().empty() ? random_name() : e.crossing();
    } catch (const Disagreement& e) {
        fill("disagreement", e.what());
    } catch (const Missing& e) {
        fill("missing", e.what());
        card["missing"] = numbers(e.ranks());
    } catch (const Gone& e) {
        fill("gone", e.what());
    } catch (const Bystander& e) {
        fill("bystander", who + " could not join the group: " + e.what());
    } catch (const TimeoutError& e) {
        fill("timeout", who + " could not join the group: " + e.what());
    } catch (const PeerError& e) {
        fill("peer", who + " could not join the group: " + e.what());
    } catch (const std::exception& e) {
        // Python's exceptions need not say anything.
        const std::string why = e.what();
        fill("own", who + " could not join the group: " + (why.empty() ? kInterrupted : why));
    } catch (...) {
        fill("own", who + " could not join the group: " + kInterrupted);
    }
    return card;
}

bool is_timeout(const std::string& kind) {
    return kind == "missing" || kind == "timeout" || kind == "bystander";
}

// Whether it is of this library; else somebody has interrupted it, and wants to go on at once.
bool is_own(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const Error&) {
        return true;
    } catch (...) {
        return false;
    }
}

void find_missing(Store& store, const std::vector<std::string>& keys, size_t begin, size_t end, size_t most,
                  std::vector<size_t>& missing) {
    if (begin == end || missing.size() == most) return;
    if (store.has({keys.begin() + static_cast<long>(begin), keys.begin() + static_cast<long>(end)})) return;
    if (end - begin == 1) return missing.push_back(begin);
    const size_t middle = begin + (end - begin) / 2;
    find_missing(store, keys, begin, middle, most, missing);
    find_missing(store, keys, middle, end, most, missing);
}

}  // namespace

Failure failure_of(const std::exception_ptr& error, const std::string& who) {
    const Card card = failure_card(error, who);
    return {is_timeout(field(card, "kind")) ? FailureKind::kTimeout : FailureKind::kPeer,
            field(card, "failed"), 0};
}

std::vector<size_t> find_missing(Store& store, const std::vector<std::string>& keys, size_t most) {
    std::vector<size_t> missing;
    find_missing(store, keys, 0, keys.size(), most, missing);
    return missing;
}

std::string Party::list() const {
    return "[" + numbers(global_ranks) + "]";
}

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

std::string encode(const Card& card) {
    std::string text;
    for (const auto& [name, value] : card) text += name + "=" + value + "\n";
    return text;
}

Card decode_card(const std::string& text) {
    Card card;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (const size_t at = line.find('='); at != std::string::npos)
            card[line.substr(0, at)] = line.substr(at + 1);
    return card;
}

Rendezvous::Rendezvous(Store& store, Party party, milliseconds timeout)
    : store_(store),
      party_(std::move(party)),
      timeout_(timeout),
      end_(Clock::now() + timeout),
      next_look_(Clock::now() + kFirstLook),
      interval_(kFirstLook) {}

std::string Rendezvous::keys() const {
    return "ring/" + std::to_string(round_) + "/";
}

std::string Rendezvous::failed_key() const {
    return keys() + "failed";
}

std::string Rendezvous::merged_key() const {
    return keys() + "merged";
}

std::string Rendezvous::come_key() const {
    return keys() + "come";
}

std::vector<std::string> Rendezvous::card_keys() const {
    std::vector<std::string> all;
    for (int r = 0; r < party_.size; ++r) all.push_back(keys() + "card/" + std::to_string(r));
    return all;
}

uint64_t Rendezvous::newest() {
    return std::stoull(store_.compare_set("ring/round", "", "0"));
}

uint64_t Rendezvous::go_on() {
    const uint64_t known = newest();
    if (known > round_) return known;
    return std::stoull(store_.compare_set("ring/round", std::to_string(known), std::to_string(round_ + 1)));
}

void Rendezvous::join(Card card) {
    card["members"] = encode_runs(party_.global_ranks);
    card["size"] = std::to_string(party_.size);
    card["world"] = std::to_string(party_.world);
    card["attempt"] = random_name();
    mine_ = std::move(card);
    joined_ = false;
    tells_at_ = Clock::now() + kTellsItCame;
    rank_0_.reset();
    if (party_.alone()) return;
    const std::string text = encode(mine_);
    while (true) {
        const std::string there =
            store_.compare_set(keys() + "card/" + std::to_string(party_.rank), "", text);
        joined_ = true;  // or stands before a place that is taken, which it may have to complain of
        if (there == text) return;
        const Card other = decode_card(there);
        if (party_.world != 0 && field(other, "world") == mine_["world"]) check_alike({other});
        // The card is of an earlier attempt of this rank, whatever came of it.
        if (Clock::now() >= end_) throw TimeoutError("the store is too slow");
        round_ = go_on();
    }
}

std::string Rendezvous::merge_cards(const std::function<std::string(const std::vector<Card>&)>& merge,
                                    const std::function<void(const Card&)>& meet) {
    if (party_.size == 1) return merge(cards());
    if (party_.rank != 0) {
        // Not beyond this call, however it ends.
        const std::unique_ptr<decltype(meet_), void (*)(decltype(meet_)*)> met(
            &meet_, [](decltype(meet_)* done) { *done = nullptr; });
        meet_ = meet;
        return receive();
    }
    const std::string made = merge(cards());
    const std::string about = mine_["world"] + " " + mine_["size"] + " " + mine_["members"];
    const std::string text = kMerged + about + "\n" + made;
    const std::string there = store_.compare_set(merged_key(), "", text);
    if (there != text) follow(decode_card(there));
    return made;
}

std::vector<Card> Rendezvous::cards() {
    if (party_.alone()) return {mine_};
    std::vector<Card> all;
    try {
        for (const std::string& text : store_.get_all(card_keys(), deadline()))
            all.push_back(decode_card(text));
    } catch (const TimeoutError&) {
        if (told_) throw;
        throw_missing();
    }
    for (const Card& card : all)
        if (card.count("failed") != 0) follow(card);
    check_alike(all);
    return all;
}

std::vector<Card> Rendezvous::cards_of(const std::vector<int>& ranks) {
    const auto all = card_keys();
    std::vector<std::string> keys;
    for (const int rank : ranks) keys.push_back(all[static_cast<size_t>(rank)]);
    std::vector<Card> cards;
    for (const std::string& text : store_.get_all(keys, deadline())) cards.push_back(decode_card(text));
    return cards;
}

std::string Rendezvous::receive() {
    std::string text;
    try {
        text = store_.get(merged_key(), deadline());
    } catch (const TimeoutError&) {
        if (told_) throw;
        throw_missing();
    }
    if (text.empty() || text.front() != kMerged) follow(decode_card(text));
    const size_t end = text.find('\n');
    Card of_group;
    std::istringstream about(text.substr(1, end - 1));
    about >> of_group["world"] >> of_group["size"] >> of_group["members"];
    check_alike({of_group});
    return text.substr(end + 1);
}

// Whose card tells what else only rank 0 would tell: that it is of another group, or has ended.
void Rendezvous::look_at_rank_0() {
    if (!meet_) return;
    const std::string key = card_keys().front();
    if (!rank_0_) {
        if (!store_.has({key})) return;
        rank_0_ = decode_card(store_.get(key, Deadline(end_)));
        if (rank_0_->count("failed") == 0) check_alike({*rank_0_});
    }
    if (rank_0_->count("failed") == 0) meet_(*rank_0_);
}

void Rendezvous::check_alike(const std::vector<Card>& cards) {
    for (const Card& card : cards) {
        const bool alike = field(card, "members") == mine_["members"] && field(card, "size") == mine_["size"];
        const std::string world = field(card, "world");
        const bool of_one_world = party_.world != 0 && world == mine_["world"];
        const bool of_others = party_.world != 0 && world != "0" && world != mine_["world"];
        if (of_others) leave();
        if (alike) continue;
        if (!of_one_world) {
            // It may be of an older round, whose rank has not come back yet to find its place taken.
            const Deadline patience(std::min(end_, Clock::now() + kStale), this);
            while (!patience.passed()) std::this_thread::sleep_for(kFirstLook);
        }
        if (party_.global_ranks.empty())
            throw Disagreement("the ranks do not agree on the size of the group: " + mine_["size"] +
                               " on rank " + std::to_string(party_.rank) + ", " + field(card, "size") +
                               " on another");
        // Copies, not references.
        const auto others = decode_runs(field(card, "members"), kMostRanks);
        const auto [low, high] = std::minmax({party_.list(), "[" + numbers(others) + "]"});
        throw Crossed(
            "groups of different ranks are being made under one name: " + low + " and " + high +
            ". All ranks must call new_group() for every group, in the same order, also for groups that they "
            "are not in; or pass use_local_synchronization=True, so that only the members call it");
    }
}

void Rendezvous::leave() {
    if (Clock::now() >= end_)
        throw Missing("the other ranks had given up before " + party_.name(party_.rank) +
                          " came, and did not begin anew within its timeout of " +
                          std::to_string(timeout_.count()) + " ms",
                      {});
    round_ = go_on();
    std::this_thread::sleep_for(std::min(kLook, kBackOff * ++left_));
    throw Superseded("the ranks meet in another round");
}

void Rendezvous::look() {
    if (Clock::now() < next_look_) return;
    interval_ = std::min(2 * interval_, std::max(kLook, kLookPerRank * party_.size));
    next_look_ = Clock::now() + interval_;
    if (!joined_) return;
    const bool gone_on =
        newest() > round_;  // asked first: who goes on has formed the group before, or never will
    if (store_.has({failed_key()})) {
        const std::string text = store_.get(failed_key(), Deadline(end_));
        if (text != kFormed) follow(decode_card(text));
    } else if (gone_on &&
               store_.compare_set(failed_key(), "", encode(Card{{"kind", "superseded"}})) != kFormed) {
        leave();  // and whoever has not formed the group yet does not, either
    }
    look_at_rank_0();
    if (Clock::now() >= tells_at_) {
        tells_at_ = Clock::time_point::max();
        store_.append(come_key(), std::to_string(party_.rank) + " ");
    }
    if (who_ended_)
        if (const auto words = who_ended_()) throw Gone(*words + "; the group was still forming");
}

bool Rendezvous::has_formed() {
    return store_.has({failed_key()}) && store_.get(failed_key(), Deadline(end_)) == kFormed;
}

void Rendezvous::finish(std::vector<std::string> done_with) {
    if (party_.size == 1) return;
    const std::string text = store_.compare_set(failed_key(), "", kFormed);
    if (text != kFormed) follow(decode_card(text));
    try {
        const std::string counted = keys() + "formed";
        if (store_.count(counted) != party_.size) return;
        done_with.push_back(merged_key());
        done_with.push_back(come_key());
        done_with.push_back(counted);
        store_.remove(done_with);
        // The places stay taken, by a group that whoever comes to one can compare with its own.
        Card rest;
        for (const char* name : {"members", "size", "world"}) rest[name] = mine_[name];
        store_.set_all(card_keys(), encode(rest));
    } catch (const std::exception&) {
        // The store has ended with the process of a rank that needs the group no more.
    }
}

void Rendezvous::follow(const Card& failure) {
    // Others may have begun anew since, and those who were missed then may do so now.
    std::istringstream missing(field(failure, "missing"));
    bool missed = false;
    size_t named = 0;
    for (std::string rank; std::getline(missing, rank, ',');)
        missed = missed || std::stoi(rank) == party_.rank ||
                 (++named > kNamed && std::stoi(rank) < party_.rank);  // they did not look further
    if (missed || newest() > round_) leave();
    told_ = true;
    take_leave(kHeard);
    const std::string kind = field(failure, "kind");
    const std::string text = field(failure, "failed");
    if (kind == "crossed") {
        crossing_ = field(failure, "crossing");
        throw Crossed(text, crossing_);
    }
    if (kind == "disagreement") throw Disagreement(text);
    if (is_timeout(kind)) throw TimeoutError(text);
    throw PeerError(text);
}

void Rendezvous::give_up(const std::exception_ptr& error, const std::string& who) {
    who_ended_ = nullptr;  // what it knows is of a group that is not made
    if (told_ || party_.alone()) return;
    Card card = failure_card(error, who);
    std::optional<std::string> first;
    try {
        if (!joined_) {
            join(card);  // so that this round is over for this rank, too
        } else if (card["kind"] == "peer" || card["kind"] == "bystander") {
            // A peer that could not go on has closed its connections before it could say so; and who called
            // in vain comes to the end of its time as late as those who wait for it.
            first = words_of_another(kWords);
        } else if (card["kind"] == "gone") {
            // One that has ended since has said it before.
            first = words_of_another(milliseconds(0));
        }
        // Where others have formed the group already, only its own ranks may say that it is not whole.
        if (!first) {
            const std::string there = store_.compare_set(failed_key(), "", encode(card));
            if (there == kFormed && card["kind"] != "disagreement" && card["kind"] != "crossed")
                store_.compare_set(failed_key(), kFormed, encode(card));
            // Whoever waits for rank 0 need not wait until it looks.
            if (there == encode(card)) store_.compare_set(merged_key(), "", there);
            // Several may find one crossing: its name is that which is told.
            const std::string told = field(decode_card(there), "crossing");
            crossing_ = told.empty() ? field(card, "crossing") : told;
        }
    } catch (const std::exception&) {
        // The store is out of reach: so it is for the others, or they learn by their timeout.
    }
    told_ = true;
    if (first) follow(decode_card(*first));
    take_leave(is_own(error) ? kHeard : milliseconds(0));
}

// The store of most jobs lives in the process of rank 0, and ends with it if the first group does not form.
void Rendezvous::take_leave(milliseconds stay) {
    try {
        std::vector<std::string> all;
        for (int r = 0; r < party_.size; ++r) all.push_back(keys() + "heard/" + std::to_string(r));
        store_.set(all[static_cast<size_t>(party_.rank)], "1");
        if (party_.rank != 0 || party_.world != 0 || !party_.global_ranks.empty()) return;
        const Deadline patience = Deadline::after(stay);
        while (!store_.has(all) && !patience.passed()) std::this_thread::sleep_for(kHeardLook);
    } catch (const std::exception&) {
        // The store is out of reach: nobody can hear anything.
    }
}

std::optional<std::string> Rendezvous::words_of_another(milliseconds patience) {
    try {
        const std::string text = store_.get(failed_key(), Deadline::after(patience));
        if (text != kFormed) return text;
    } catch (const TimeoutError&) {
    }
    return std::nullopt;
}

void Rendezvous::throw_missing() {
    // One rank asks who is missing, and tells the others: all of them asking would keep the store busy.
    if (store_.compare_set(keys() + "asks", "", mine_["attempt"]) != mine_["attempt"])
        if (const auto words = words_of_another(kWords)) follow(decode_card(*words));
    std::vector<int> missing = this->missing();
    if (missing.empty() && party_.rank != 0)
        throw Bystander(party_.name(0) +
                        " has come, but has not told in time who the ranks are: it has ended, "
                        "is cut off from the store, or the store is too slow");
    const bool more = missing.size() > kNamed;
    std::vector<int> names;
    for (const int rank : missing)
        if (names.size() < kNamed) names.push_back(party_.global(rank));
    const std::string text =
        "the group of " + std::to_string(party_.size) + " ranks" +
        (party_.global_ranks.empty() ? "" : " " + party_.list()) + " has not formed within its timeout of " +
        std::to_string(timeout_.count()) + " ms; these ranks did not join in time: " +
        (names.empty() ? "none, the store is too slow" : numbers(names)) + (more ? " and more" : "") +
        ". Are they running, and do they create the same group?";
    throw Missing(text, std::move(missing));
}

std::vector<int> Rendezvous::missing() {
    // Those that have told need not be looked for, which takes a few round trips for each that is missing
    // then, and not the logarithm of all ranks.
    std::set<int> come;
    if (store_.has({come_key()})) {
        std::istringstream told(store_.get(come_key(), Deadline(end_)));
        for (int rank = 0; told >> rank;) come.insert(rank);
    }
    const auto all = card_keys();
    std::vector<int> ranks;
    std::vector<std::string> keys;
    for (int rank = 0; rank < party_.size; ++rank) {
        if (come.contains(rank)) continue;
        ranks.push_back(rank);
        keys.push_back(all[static_cast<size_t>(rank)]);
    }
    std::vector<int> missing;
    if (keys.empty()) return missing;
    for (const size_t at : find_missing(store_, keys, kNamed + 1)) missing.push_back(ranks[at]);
    return missing;
}

}  // namespace ring
