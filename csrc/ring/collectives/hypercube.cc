// See hypercube.h.
#include "ring/collectives/hypercube.h"

#include <algorithm>
#include <cstring>

#include "ring/collectives/exchange.h"

namespace ring {

Hypercube::Hypercube(int position, int size) : position_(position), size_(size) {
    while (corners_ * 2 <= size) corners_ *= 2;
}

int Hypercube::twin() const {
    if (!is_corner()) return position_ - corners_;
    return position_ + corners_ < size_ ? position_ + corners_ : -1;
}

std::vector<int> Hypercube::block(int corner, int distance) const {
    std::vector<int> positions;
    const int first = corner / distance * distance;
    for (int p = first; p < first + distance; ++p) {
        positions.push_back(p);
        if (p + corners_ < size_) positions.push_back(p + corners_);
    }
    return positions;
}

std::vector<int> Hypercube::partners() const {
    std::vector<int> all;
    if (is_corner())
        for (int distance = 1; distance < corners_; distance *= 2) all.push_back(across(distance));
    if (twin() >= 0) all.push_back(twin());
    return all;
}

namespace {

Extents joined(const std::vector<Extents>& parts, const std::vector<int>& positions) {
    Extents all;
    for (const int p : positions) all.insert(all.end(), parts[p].begin(), parts[p].end());
    return all;
}

}  // namespace

Task doubling_all_reduce(Context& context, std::byte* partial, std::byte* result, size_t count) {
    const Hypercube cube(context.position(), context.layout.cells());
    const int twin = cube.twin();
    const Reduction next = context.reduction(ReduceStage::kNext);
    const Reduction complete = context.reduction(ReduceStage::kLast);
    const size_t partial_bytes = count * next.out;
    const size_t result_bytes = count * complete.out;
    const auto sum = [&](const Reduction& add, std::byte* to, const std::byte* first,
                         const std::byte* second) {
        const void* const sources[] = {first, second};
        if (count > 0) add(to, sources, 2, count);
    };

    co_await context.turn(Lane::kRail);
    uint64_t sent = 0;
    if (!cube.is_corner()) {
        // Until it is sent, the partial sum must not change, and the result may be the same memory.
        std::byte* const outcome = context.scratch.take(result_bytes);
        sent = context.send(twin, partial, partial_bytes);
        const uint64_t arrived = context.receive(twin, outcome, result_bytes);
        context.pass(Lane::kRail);
        co_await until(ReceivedUpTo(context.link(twin), arrived));
        co_await until(SentUpTo(context.link(twin), sent));
        if (count > 0) std::memcpy(result, outcome, result_bytes);
        co_return;
    }
    // What is being sent must not change, so each step adds into memory of its own.
    std::byte* mine = partial;
    if (twin >= 0) {
        std::byte* const arrival = context.scratch.take(partial_bytes);
        co_await until(ReceivedUpTo(context.link(twin), context.receive(twin, arrival, partial_bytes)));
        sum(next, mine, mine, arrival);
    }
    std::vector<std::pair<int, uint64_t>> tickets;
    for (int distance = 1; distance < cube.corners(); distance *= 2) {
        const int other = cube.across(distance);
        const bool last = distance * 2 == cube.corners();
        std::byte* const arrival = context.scratch.take(partial_bytes);
        std::byte* const total = context.scratch.take(last ? result_bytes : partial_bytes);
        tickets.emplace_back(other, context.send(other, mine, partial_bytes));
        const uint64_t ticket = context.receive(other, arrival, partial_bytes);
        if (last && twin < 0) context.pass(Lane::kRail);
        co_await until(ReceivedUpTo(context.link(other), ticket));
        // The lower corner's first, on both sides: the same bits everywhere.
        const bool lower = context.position() < other;
        sum(last ? complete : next, total, lower ? mine : arrival, lower ? arrival : mine);
        mine = total;
    }
    if (twin >= 0) {
        tickets.emplace_back(twin, context.send(twin, mine, result_bytes));
        context.pass(Lane::kRail);
    }
    for (const auto& [other, ticket] : tickets) co_await until(SentUpTo(context.link(other), ticket));
    if (count > 0) std::memcpy(result, mine, result_bytes);
}

Task halving_reduce_scatter(Context& context, std::vector<Extents> parts, std::vector<Extents> sums,
                            Extents result, size_t chunk) {
    const Hypercube cube(context.position(), context.layout.cells());
    const int twin = cube.twin();
    const int me = context.position();
    std::vector<int> everyone(context.layout.cells());
    for (int p = 0; p < context.layout.cells(); ++p) everyone[p] = p;

    co_await context.turn(Lane::kRail);
    if (!cube.is_corner()) {
        co_await send_frames(context, twin, frames_of(joined(parts, everyone), chunk));
        co_await receive_frames(context, twin, store_into(frames_of(result, chunk)));
        context.pass(Lane::kRail);
        co_return;
    }
    // parts[p] is where the sum so far of position p's part lies.
    if (twin >= 0) {
        co_await receive_frames(context, twin,
                                reduce_into(joined(sums, everyone), joined(parts, everyone), chunk));
        parts = sums;
    }
    for (int distance = cube.corners() / 2; distance > 1; distance /= 2) {
        const int other = cube.across(distance);
        const auto keep = cube.block(me, distance);
        const auto give = cube.block(other, distance);
        co_await exchange(context, other, frames_of(joined(parts, give), chunk),
                          reduce_into(joined(sums, keep), joined(parts, keep), chunk));
        for (const int p : keep) parts[p] = sums[p];
    }
    // What is left are this position's own part and its twin's.
    std::vector<Extents> results(parts.size());
    results[me] = result;
    if (twin >= 0) {
        std::byte* const memory = context.scratch.take(total_bytes(parts[twin]));
        results[twin] = cut_alike(memory, parts[twin], context.element_bytes(), context.partial_bytes());
    }
    const int other = cube.across(1);
    co_await exchange(
        context, other, frames_of(joined(parts, cube.block(other, 1)), chunk),
        complete_into(context, joined(results, cube.block(me, 1)), joined(parts, cube.block(me, 1)), chunk));
    if (twin >= 0) co_await send_frames(context, twin, frames_of(results[twin], chunk));
    context.pass(Lane::kRail);
}

Task doubling_all_gather(Context& context, std::vector<Extents> parts, size_t chunk) {
    const Hypercube cube(context.position(), context.layout.cells());
    const int twin = cube.twin();
    const int me = context.position();
    const std::vector<int> own(1, me);
    const std::vector<int> twins(1, twin);
    const auto frames = [&](const std::vector<int>& positions) {
        return frames_of(joined(parts, positions), chunk);
    };
    // All but what the twin gave itself.
    std::vector<int> others;
    for (int p = 0; p < context.layout.cells(); ++p)
        if (p != (cube.is_corner() ? twin : me)) others.push_back(p);

    co_await context.turn(Lane::kRail);
    if (!cube.is_corner()) {
        co_await send_frames(context, twin, frames(own));
        co_await receive_frames(context, twin, store_into(frames(others)));
        context.pass(Lane::kRail);
        co_return;
    }
    if (twin >= 0) co_await receive_frames(context, twin, store_into(frames(twins)));
    for (int distance = 1; distance < cube.corners(); distance *= 2) {
        const int other = cube.across(distance);
        co_await exchange(context, other, frames(cube.block(me, distance)),
                          store_into(frames(cube.block(other, distance))));
    }
    if (twin >= 0) co_await send_frames(context, twin, frames(others));
    context.pass(Lane::kRail);
}

Task halving_all_reduce(Context& context, Extent partial, std::byte* result, size_t chunk) {
    const Hypercube cube(context.position(), context.layout.cells());
    const int twin = cube.twin();
    const int me = context.position();
    const size_t element = context.element_bytes();
    const size_t partial_element = context.partial_bytes();
    const size_t count = partial.bytes / partial_element;
    // Corner c sums slice c.
    Extents parts;
    Extents results;
    for (int c = 0; c < cube.corners(); ++c) {
        const Slice slice = slice_of(count, static_cast<size_t>(cube.corners()), static_cast<size_t>(c),
                                     kGrainBytes / element);
        parts.push_back({partial.data + slice.begin * partial_element, slice.count * partial_element});
        results.push_back({result + slice.begin * element, slice.count * element});
    }
    const auto around = [](const Extents& slices, int corner, int distance) {
        const int first = corner / distance * distance;
        return Extents(slices.begin() + first, slices.begin() + first + distance);
    };
    const Extents whole{partial};
    const Extents whole_result{{result, count * element}};

    co_await context.turn(Lane::kRail);
    if (!cube.is_corner()) {
        co_await send_frames(context, twin, frames_of(whole, chunk));
        co_await receive_frames(context, twin, store_into(frames_of(whole_result, chunk)));
        context.pass(Lane::kRail);
        co_return;
    }
    if (twin >= 0) co_await receive_frames(context, twin, reduce_into(whole, whole, chunk));
    for (int distance = cube.corners() / 2; distance >= 1; distance /= 2) {
        const int other = cube.across(distance);
        const Extents keep = around(parts, me, distance);
        Arrivals sum = reduce_into(keep, keep, chunk);
        if (distance == 1) sum = complete_into(context, around(results, me, 1), keep, chunk);
        co_await exchange(context, other, frames_of(around(parts, other, distance), chunk), std::move(sum));
    }
    for (int distance = 1; distance < cube.corners(); distance *= 2) {
        const int other = cube.across(distance);
        co_await exchange(context, other, frames_of(around(results, me, distance), chunk),
                          store_into(frames_of(around(results, other, distance), chunk)));
    }
    if (twin >= 0) co_await send_frames(context, twin, frames_of(whole_result, chunk));
    context.pass(Lane::kRail);
}

Task tree_broadcast(Context& context, int root, Extents data, size_t chunk) {
    const Hypercube cube(context.position(), context.layout.cells());
    const int twin = cube.twin();
    const int me = context.position();
    const int source = cube.is_corner(root) ? root : root - cube.corners();  // of the tree among the corners
    const Extents frames = frames_of(data, chunk);
    const Extents nothing{{nullptr, 0}};  // a header only: shows the other side what was called

    co_await context.turn(Lane::kRail);
    if (!cube.is_corner()) {
        const Extents& out = me == root ? frames : nothing;
        const Extents& in = me == root ? nothing : frames;
        co_await exchange(context, twin, out, store_into(in));
        context.pass(Lane::kRail);
        co_return;
    }
    if (twin == root) co_await exchange(context, twin, nothing, store_into(frames));
    // Seen from the source, corner v gets the data across its highest bit and passes it on across those
    // above.
    const int v = me ^ source;
    for (int distance = 1; distance < cube.corners(); distance *= 2) {
        const int other = cube.across(distance);
        if (v < distance) {
            co_await exchange(context, other, frames, store_into(nothing));
        } else if (v < 2 * distance) {
            co_await exchange(context, other, nothing, store_into(frames));
        }
    }
    if (twin >= 0 && twin != root) co_await exchange(context, twin, frames, store_into(nothing));
    context.pass(Lane::kRail);
}

}  // namespace ring
