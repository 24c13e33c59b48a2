// See libring.h.
#include "libring.h"

#include <utility>

namespace ring_perf {
namespace {

using ring::Arguments;
using ring::Collective;

Arguments arguments_of(const Subject& subject, const Tensors& tensors) {
    const ring::CollectiveTraits& traits = subject.traits();
    Arguments arguments;
    arguments.signature.kind = traits.kind;
    arguments.signature.dtype = subject.dtype;
    arguments.signature.count = tensors.share();
    if (traits.reduces) arguments.signature.op = subject.op;
    if (traits.rooted) arguments.signature.root = subject.root;
    arguments.input = tensors.input;
    arguments.output = tensors.output;
    arguments.inputs.assign(tensors.inputs.begin(), tensors.inputs.end());
    arguments.outputs = tensors.outputs;
    if (traits.message) arguments.signature.root = tensors.next();
    if (traits.counted) {
        arguments.signature.count = 0;
        arguments.input_counts.assign(tensors.inputs.size(), tensors.share());
        arguments.output_counts.assign(tensors.outputs.size(), tensors.share());
    }
    return arguments;
}

}  // namespace

std::function<void()> Libring::call_of(const Subject& subject, Tensors& tensors) {
    Arguments arguments = arguments_of(subject, tensors);
    if (!subject.traits().message) return [this, arguments = std::move(arguments)] { group_.run(arguments); };
    Arguments receive = arguments;
    receive.signature.kind = Collective::kRecv;
    receive.signature.root = tensors.before();
    return [this, send = std::move(arguments), receive = std::move(receive)] {
        const auto sent = group_.begin(send);
        group_.run(receive);
        if (sent) group_.wait(sent);
    };
}

void Libring::barrier() {
    Arguments arguments;
    arguments.signature.kind = Collective::kBarrier;
    group_.run(arguments);
}

std::vector<Result> Libring::gather(const Result& mine) {
    std::vector<Result> all(static_cast<size_t>(ranks()));
    Arguments arguments;
    arguments.signature.kind = Collective::kAllGather;
    arguments.signature.count = sizeof(Result);
    arguments.input = &mine;
    for (Result& one : all) arguments.outputs.push_back(&one);
    group_.run(arguments);
    return all;
}

}  // namespace ring_perf
