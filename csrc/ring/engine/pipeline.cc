// See pipeline.h.
#include "ring/engine/pipeline.h"

#include <algorithm>

#include "ring/base/mismatch.h"
#include "ring/collectives/collectives.h"
#include "ring/collectives/host/one_shot.h"

namespace ring {

Pipeline::Pipeline(Group& group, const Tuning& tuning) : tuning_(tuning) {
    slots_.reserve(kInFlight);
    for (uint64_t i = 0; i < kInFlight; ++i)
        slots_.push_back({.context = {.group = group, .segment = group.segment},
                          .operation = nullptr,
                          .strand = std::nullopt});
}

void Pipeline::put(OperationPtr operation) {
    cut_ = {.operation = std::move(operation)};
}

bool Pipeline::can_start(uint64_t fails_from) const {
    return !full() && cut_.operation != nullptr && cut_.operation->number < fails_from;
}

bool Pipeline::start(uint64_t fails_from) {
    if (!can_start(fails_from)) return false;
    Context& context = next_context(cut_.operation->number, cut_.operation->arguments);
    if (cut_.next == 0) {
        cut_.plan = &tuning_.plan(context.signature());
        context.plan = cut_.plan;
        cut_.pieces = count_pieces(context);
        cut_.history = history_;
        history_ = with_call(history_, context.signature());
    }
    context.history = cut_.history;
    context.plan = cut_.plan;
    context.piece = cut_.next++;
    context.pieces = cut_.pieces;
    const bool last = cut_.next == cut_.pieces;
    begin(last ? std::exchange(cut_.operation, nullptr) : cut_.operation);
    return true;
}

Context& Pipeline::next_context(uint64_t operation, const Arguments& arguments) {
    Context& context = slot(begun_).context;
    context.number = begun_;
    context.operation = operation;
    context.arguments = &arguments;
    context.lanes_passed = 0;
    context.entered.reset();
    return context;
}

void Pipeline::begin(OperationPtr operation) {
    Slot& next = slot(begun_);
    next.operation = std::move(operation);
    next.strand.emplace(run_collective(next.context));
    ++begun_;
}

void Pipeline::enter(uint64_t number, const Arguments& arguments) {
    Context& context = next_context(number, arguments);
    context.history = history_;
    context.piece = 0;
    context.pieces = 1;
    history_ = with_call(history_, context.signature());
    entering_.emplace(context.segment, number);
    enter_one_shot(context);
}

bool Pipeline::all_have_entered() {
    const Context& context = slot(begun_).context;
    return entering_->ready() && announced_alike(context) && can_take_one_shot(context);
}

const Context& Pipeline::take_entered() {
    Context& context = slot(begun_).context;
    entering_.reset();
    take_one_shot(context);
    context.scratch.release(0);
    return context;
}

void Pipeline::adopt(OperationPtr operation) {
    entering_.reset();
    slot(begun_).context.arguments = &operation->arguments;
    begin(std::move(operation));
}

bool Pipeline::advance(uint64_t fails_from) {
    bool moved = false;
    for (uint64_t piece = oldest_; piece != begun_; ++piece) {
        Slot& one = slot(piece);
        if (!one.strand->done() && one.operation->number < fails_from) moved = one.strand->advance() || moved;
    }
    return moved;
}

OperationPtr Pipeline::take_out() {
    Slot& one = slot(oldest_);
    one.strand.reset();
    one.context.scratch.release(0);
    const bool last = one.context.piece + 1 == one.context.pieces;
    ++oldest_;
    OperationPtr operation = std::exchange(one.operation, nullptr);
    return last ? std::move(operation) : nullptr;
}

bool Pipeline::ready(uint64_t fails_from) const {
    for (uint64_t piece = oldest_; piece != begun_; ++piece)
        if (slot(piece).strand->ready() && slot(piece).operation->number < fails_from) return true;
    return false;
}

std::vector<int> Pipeline::awaited() const {
    return busy() ? slot(oldest_).strand->awaited() : std::vector<int>{};
}

uint64_t Pipeline::needs(int rank, uint64_t called, uint64_t limit) const {
    for (uint64_t piece = oldest_; piece != begun_; ++piece) {
        const Slot& one = slot(piece);
        const uint64_t number = one.operation->number;
        if (number >= limit) break;
        const auto awaited = one.strand->awaited();
        if (called < number ||
            (!one.strand->ready() && std::find(awaited.begin(), awaited.end(), rank) != awaited.end()))
            return number;
    }
    return limit;
}

std::vector<OperationPtr> Pipeline::abandon() {
    std::vector<OperationPtr> abandoned;
    for (; busy(); ++oldest_) {
        Slot& one = slot(oldest_);
        one.strand.reset();
        one.context.scratch.release(0);
        if (abandoned.empty() || abandoned.back() != one.operation) abandoned.push_back(one.operation);
        one.operation = nullptr;
    }
    if (cut_.operation != nullptr) {
        if (abandoned.empty() || abandoned.back() != cut_.operation) abandoned.push_back(cut_.operation);
        cut_.operation = nullptr;
    }
    return abandoned;
}

void Pipeline::give_back() {
    for (Slot& slot : slots_) slot.context.scratch.clear();
}

}  // namespace ring
