// See connecting.h.
#include "ring/transport/tcp/connecting.h"

#include <algorithm>

#include "ring/base/error.h"

namespace ring {
namespace {

// What RFC 8305 recommends.
constexpr milliseconds kStagger{250};
// Before an address is tried again: the peer may be flooded by strangers, and drop whom it does not know yet.
constexpr milliseconds kRetry{50};
constexpr milliseconds kLongestRetry{400};
// A rank listens before it tells where: who finds all its doors closed for so long need not wait longer.
constexpr milliseconds kClosed{5000};

const char* const kAdvice =
    ". If a firewall is between the two, it must let in the port that the rank listens on "
    "(TORCH_RING_PORT_RANGE says which it may be); TORCH_RING_IFNAME chooses other interfaces, and "
    "TORCH_RING_ADVERTISE says by which address a rank behind NAT can be called";

}  // namespace

Connecting::Connecting(std::string whom, const std::vector<Route>& routes, const Hello& hello,
                       std::string secret, Deadline deadline, std::function<void(int)> watch)
    : whom_(std::move(whom)),
      hello_(hello),
      secret_(std::move(secret)),
      deadline_(deadline),
      watch_(std::move(watch)) {
    auto start = Clock::now();
    for (const Route& route : routes) {
        if (route.obstacle.empty()) {
            lines_.push_back({route, start, kRetry, std::nullopt, std::nullopt});
            start += kStagger;
        } else {
            lines_.push_back({route, Clock::time_point::max(), kRetry, std::nullopt,
                              Setback{Setback::Kind::kUnreachable, "not tried: " + route.obstacle}});
        }
    }
}

bool Connecting::start_due(Clock::time_point now) {
    bool any = false;
    for (Line& line : lines_)
        if (!answered_ && !line.attempt && line.start <= now) {
            line.attempt.emplace(line.route.from, line.route.to, hello_, secret_);
            if (line.attempt->fd() >= 0) watch_(line.attempt->fd());
            any = true;
        }
    return any;
}

bool Connecting::advance() {
    const auto now = Clock::now();
    bool moved = true;
    while (moved) {
        moved = start_due(now);
        for (Line& line : lines_)
            if (line.attempt) moved = advance_line(line, now) || moved;
        if (connection_) return true;
    }
    if (deadline_.passed()) throw TimeoutError("cannot reach " + whom_ + " in time: " + report());
    give_up_where_hopeless(now);
    return false;
}

bool Connecting::advance_line(Line& line, Clock::time_point now) {
    switch (line.attempt->advance()) {
        case Attempt::Stage::kProven:
            answer(line, now);
            return true;
        case Attempt::Stage::kDone:
            connection_ = line.attempt->take();
            reached_ = line.route.to;
            line.attempt.reset();
            return false;
        case Attempt::Stage::kFailed:
            fail(line, now);
            return true;
        case Attempt::Stage::kOpening:
        case Attempt::Stage::kAnswered:
            break;
    }
    return false;
}

void Connecting::answer(Line& line, Clock::time_point now) {
    answered_ = true;
    for (Line& other : lines_)
        if (&other != &line && other.attempt) {
            other.attempt.reset();
            other.start = now + kStagger;
        }
    line.attempt->answer();
}

void Connecting::fail(Line& line, Clock::time_point now) {
    line.setback = line.attempt->setback();
    if (line.setback->kind == Setback::Kind::kLeft) throw PeerLeft(whom_ + " left the group");
    line.attempt.reset();
    line.start = now + line.pause;
    line.pause = std::min(2 * line.pause, kLongestRetry);
    answered_ = false;  // if one had, this was it: no other is under way
    // The next one need not wait for its turn.
    const auto untried = [](const Line& one) { return !one.attempt && !one.setback; };
    const auto next = std::find_if(lines_.begin(), lines_.end(), untried);
    if (next == lines_.end() || next->start <= now) return;
    const auto early = next->start - now;
    for (Line& one : lines_)
        if (untried(one)) one.start -= early;
}

void Connecting::give_up_where_hopeless(Clock::time_point now) {
    const auto all = [&](auto holds) {
        return std::all_of(lines_.begin(), lines_.end(), [&](const Line& one) {
            const bool connected = one.attempt && one.attempt->setback().kind == Setback::Kind::kTransient;
            return one.setback && !connected && holds(one.setback->kind);
        });
    };
    const auto hopeless = [](Setback::Kind kind) {
        return kind == Setback::Kind::kUnreachable || kind == Setback::Kind::kLocal;
    };
    const bool closed =
        all([&](Setback::Kind kind) { return hopeless(kind) || kind == Setback::Kind::kRefused; });
    if (!closed) {
        closed_since_.reset();
        return;
    }
    if (!closed_since_) closed_since_ = now;
    if (all(hopeless) || now >= *closed_since_ + kClosed)
        throw PeerError("cannot reach " + whom_ + ": " + report());
}

std::string Connecting::report() const {
    std::string text;
    bool advise = false;
    for (const Line& line : lines_) {
        Setback setback{Setback::Kind::kTransient, "not tried yet"};
        if (line.setback)
            setback = *line.setback;
        else if (line.attempt)
            setback = line.attempt->setback();
        advise =
            advise || (setback.kind != Setback::Kind::kTransient && setback.kind != Setback::Kind::kLocal);
        text += (text.empty() ? "" : "; ") + describe(line.route.to);
        if (!line.route.from.empty()) text += " from " + line.route.from;
        if (!line.route.remark.empty()) text += " (" + line.route.remark + ")";
        text += ": " + setback.text;
    }
    if (lines_.empty()) text = "it has published no address";
    return text + (advise ? kAdvice : "");
}

Clock::time_point Connecting::next() const {
    auto at = deadline_.at();
    if (answered_) return at;
    for (const Line& line : lines_)
        if (!line.attempt) at = std::min(at, line.start);
    return at;
}

}  // namespace ring
