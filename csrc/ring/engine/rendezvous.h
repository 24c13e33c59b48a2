// How the ranks of a group meet in the store, and how all of them learn of one that cannot go on. Used while
// a group forms, by Communicator::create().
//
// Each attempt to form the group is a round, with keys of its own:
//
//   ring/round           the newest round that somebody had to go on to; none: 0
//   ring/<n>/card/<r>    what rank r says of itself in round n; whose place it was, later
//   ring/<n>/merged      what rank 0 has made of all cards; or why the round failed before that
//   ring/<n>/failed      who could not go on in round n, and why; or that a rank has formed the group,
//                        or has gone on to another round before any had
//   ring/<n>/heard/<r>   rank r knows why round n has failed
//   ring/<n>/formed      how many ranks have formed the group
//   ring/<n>/come        the ranks that have waited for a while
//
// Rank 0 alone reads all cards; so each rank asks the store a fixed number of things, and what they read
// together grows with the ranks times what one has to know of all. The last rank to form the group takes out
// what the others needed; of the cards it leaves what keeps the places in their round.
//
// A rank joins the first round in which its card is missing, from the newest on. That is a fresh one whether
// the rounds before it have formed a group, ended by an error, or were left by processes that were killed;
// and it is the same for all ranks, since who is alone in an old round sees that others have gone on, and
// follows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/error.h"
#include "ring/base/failure.h"
#include "ring/topology/store.h"

namespace ring {

// Lines of "field=value"; values are one line each.
using Card = std::map<std::string, std::string>;
std::string one_line(std::string text);
std::string encode(const Card& card);
Card decode_card(const std::string& text);

// Who meets.
struct Party {
    int rank = 0;
    int size = 1;
    std::vector<int> global_ranks{};  // by rank; empty where the ranks of the group are the global ones
    uint64_t world = 0;               // the number of the group of all ranks that these are of; 0: unknown

    // Has nobody to meet: groups of one may even have one name, as new_subgroups(1, group=...) gives them. A
    // group of all ranks may be one by mistake, so it shows its size to the others that there may be.
    bool alone() const { return size == 1 && !global_ranks.empty(); }
    int global(int rank) const { return global_ranks.empty() ? rank : global_ranks[rank]; }
    std::string name(int rank) const { return "rank " + std::to_string(global(rank)); }
    std::string list() const;  // "[0, 2]", the global ranks; "[]" where it is the group of all ranks
};

// The ranks differ in something that they must have in common; all of them find the same.
class Disagreement : public ConfigError {
  public:
    using ConfigError::ConfigError;
};

// Groups of different ranks are being made under one name: the words name both lists.
class Crossed : public Disagreement {
  public:
    // `crossing`: its name among all ranks that find it or are told, where it has one already.
    explicit Crossed(const std::string& what, std::string crossing = {})
        : Disagreement(what), crossing_(std::move(crossing)) {}
    const std::string& crossing() const { return crossing_; }

  private:
    std::string crossing_;
};

// A rank has ended, as all of them find or are told.
class Gone : public PeerError {
  public:
    using PeerError::PeerError;
};

// Some ranks did not come.
class Missing : public TimeoutError {
  public:
    Missing(const std::string& what, std::vector<int> ranks) : TimeoutError(what), ranks_(std::move(ranks)) {}
    const std::vector<int>& ranks() const { return ranks_; }

  private:
    std::vector<int> ranks_;
};

// This rank has waited in vain for one that may itself have waited for others, which then know better what is
// wrong.
class Bystander : public TimeoutError {
  public:
    using TimeoutError::TimeoutError;
};

// This round is over; the ranks meet in another one.
class Superseded : public Error {
  public:
    using Error::Error;
};

// The words for a rank that has ended, if one has; it may throw instead.
using WhoEnded = std::function<std::optional<std::string>()>;

// What the others hear of a rank that cannot go on because of that error; those that wait for it still raise
// the same. `who`: that rank, for messages.
Failure failure_of(const std::exception_ptr& error, const std::string& who);

// The first of these keys that are not in the store, at most `most`.
std::vector<size_t> find_missing(Store& store, const std::vector<std::string>& keys, size_t most);

// Of one rank and one group; not thread-safe.
class Rendezvous : public Lookout {
  public:
    Rendezvous(Store& store, Party party, milliseconds timeout);
    Rendezvous(const Rendezvous&) = delete;
    Rendezvous& operator=(const Rendezvous&) = delete;

    const Party& party() const { return party_; }
    Store& store() { return store_; }
    // What this round's keys begin with, once this rank has joined one.
    std::string keys() const;
    // Of the whole attempt, with this as its lookout: every wait of a group that forms takes it.
    Deadline deadline() { return Deadline(end_, this); }

    // Joins a round with this card. Throws Disagreement where another group takes the same place.
    void join(Card card);
    // What rank 0 makes of all ranks' cards, by rank: only there `merge` is called. The others call `meet`
    // with rank 0's card, now and then, if they have to wait while that is there. Throws Missing,
    // Disagreement, or what look(), `merge` or `meet` throw.
    std::string merge_cards(const std::function<std::string(const std::vector<Card>&)>& merge,
                            const std::function<void(const Card&)>& meet);
    // Of some ranks, once all cards are there.
    std::vector<Card> cards_of(const std::vector<int>& ranks);
    // From now on look() asks it as well.
    void watch(WhoEnded who_ended) { who_ended_ = std::move(who_ended); }

    // This round is of an attempt before this one, whose ranks are no more. Throws Superseded.
    [[noreturn]] void leave();
    // The name of the Crossed that ended it.
    const std::string& crossing() const { return crossing_; }
    // The ranks that have not come to this round yet, or some of them if they are many.
    std::vector<int> missing();

    // The one place where all waits of a group that forms come by. Throws Superseded, the error of a rank
    // that could not go on, or Gone.
    void look() override;
    // Whether it has formed on some rank: then all of this round's cards are of one attempt.
    bool has_formed();
    // The group has formed here: the last chance to learn that it has not elsewhere. `done_with`: keys that
    // nobody needs any more when it has formed everywhere.
    void finish(std::vector<std::string> done_with);

    // This rank cannot go on: to be called with the error, once. Throws instead the error of a rank that
    // could not before, or Superseded; else lets all ranks know. `who`: this rank, for messages.
    void give_up(const std::exception_ptr& error, const std::string& who);

  private:
    std::string failed_key() const;
    std::string merged_key() const;
    std::string come_key() const;  // who has waited for a while: a list that grows
    std::vector<std::string> card_keys() const;
    uint64_t newest();  // round that somebody has gone on to
    uint64_t go_on();   // to a round after this one; returns the newest
    [[noreturn]] void follow(const Card& failure);
    void take_leave(milliseconds stay);
    std::vector<Card> cards();
    std::string receive();  // what rank 0 has made
    void look_at_rank_0();
    void check_alike(const std::vector<Card>& cards);
    std::optional<std::string> words_of_another(milliseconds patience);  // who could not go on
    [[noreturn]] void throw_missing();

    Store& store_;
    const Party party_;
    const milliseconds timeout_;
    const Clock::time_point end_;
    Card mine_;
    uint64_t round_ = 0;
    bool joined_ = false;
    Clock::time_point tells_at_{};  // that it has come; the end of time once it has
    bool told_ = false;             // the others know why this one does not go on
    int left_ = 0;                  // rounds
    // While this rank waits for what rank 0 makes: what to do with its card, and that once it is there.
    std::function<void(const Card&)> meet_;
    std::optional<Card> rank_0_;
    std::string crossing_;
    Clock::time_point next_look_;
    milliseconds interval_;
    WhoEnded who_ended_;
};

}  // namespace ring
