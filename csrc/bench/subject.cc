// See subject.h.
#include "subject.h"

#include <stdexcept>

#include "ring/kernels/reduce.h"
#include "values.h"

namespace ring_perf {
namespace {

// A receive belongs to its send.
bool is_measured(const ring::CollectiveTraits& row) {
    return row.kind != ring::Collective::kNone && row.kind != ring::Collective::kRecv;
}

const ring::CollectiveTraits* row_named(const std::string& text) {
    for (const ring::CollectiveTraits& row : ring::kCollectives)
        if (is_measured(row) && text == row.name) return &row;
    if (text == kMemcpy.name) return &kMemcpy;
    refuse('t', text, measured_names(" "));
}

bool out_of_place(const std::string& text) {
    if (text != "in" && text != "out") refuse('x', text, "in, out");
    return text == "out";
}

}  // namespace

std::string measured_names(const std::string& line_break) {
    constexpr size_t kLine = 95;
    std::string names;
    size_t line = 0;
    for (const ring::CollectiveTraits& row : ring::kCollectives) {
        if (!is_measured(row)) continue;
        const std::string name = std::string(row.name) + ",";
        const bool full = line + name.size() > kLine;
        if (!names.empty()) names += full ? line_break : " ";
        line = (full ? 0 : line + 1) + name.size();
        names += name;
    }
    return names + " " + kMemcpy.name;
}

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
