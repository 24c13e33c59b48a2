// See subject.h.
#include "subject.h"

#include <stdexcept>

#include "ring/kernels/reduce.h"
#include "values.h"

namespace ring_perf {
namespace {

const ring::CollectiveTraits* row_named(const std::string& text) {
    std::string names;
    for (const ring::CollectiveTraits& row : ring::kCollectives) {
        // A receive belongs to its send.
        if (row.kind == ring::Collective::kNone || row.kind == ring::Collective::kRecv) continue;
        if (text == row.name) return &row;
        names += std::string(row.name) + ", ";
    }
    if (text == kMemcpy.name) return &kMemcpy;
    refuse('t', text, names + kMemcpy.name);
}

bool out_of_place(const std::string& text) {
    if (text != "in" && text != "out") refuse('x', text, "in, out");
    return text == "out";
}

}  // namespace

bool Subject::take(int option, const std::string& value) {
    switch (option) {
        case 't':
            row = row_named(value);
            return true;
        case 'd':
            dtype = named('d', value, ring::DType::kUInt8, ring::DType::kCount);
            return true;
        case 'o':
            op = named('o', value, ring::ReduceOp::kSum, ring::ReduceOp::kCount);
            return true;
        case 'r':
            root = count_value('r', value, 0, 1 << 20);
            return true;
        case 'x':
            out_of_place = ring_perf::out_of_place(value);
            return true;
        default:
            return false;
    }
}

void Subject::check() const {
    if (traits().reduces && ring::reduce_function(dtype, op) == nullptr)
        throw std::invalid_argument(std::string("-o ") + ring::name_of(op) + ": not for " +
                                    ring::name_of(dtype));
    const bool apart = traits().reduces || traits().inputs || traits().outputs || copies();
    if (out_of_place && !apart)
        throw std::invalid_argument(std::string("-x out: ") + traits().name +
                                    " has no input apart from its output");
}

}  // namespace ring_perf
