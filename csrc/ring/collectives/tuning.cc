// See tuning.h.
#include "ring/collectives/tuning.h"

#include <utility>

namespace ring {
namespace {

Pattern pattern_of(Collective kind) {
    switch (kind) {
        case Collective::kBroadcast:
            return Pattern::kBroadcast;
        case Collective::kAllGather:
            return Pattern::kAllGather;
        case Collective::kReduceScatter:
            return Pattern::kReduceScatter;
        case Collective::kReduce:  // a broadcast the other way round
            return Pattern::kBroadcast;
        case Collective::kBarrier:
            return Pattern::kBarrier;
        default:
            return Pattern::kAllReduce;
    }
}

}  // namespace

Tuning::Tuning(const Layout& layout, Choices choices)
    : ranks_(static_cast<size_t>(layout.size())), choices_(std::move(choices)) {}

const Plan& Tuning::plan(const Signature& signature) const {
    const bool shares = signature.uneven == 0 && (signature.kind == Collective::kAllGather ||
                                                  signature.kind == Collective::kReduceScatter);
    return choices_.of(pattern_of(signature.kind),
                       signature.count * size_of(signature.dtype) * (shares ? ranks_ : 1));
}

}  // namespace ring
