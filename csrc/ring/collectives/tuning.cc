// See tuning.h.
#include "ring/collectives/tuning.h"

#include "ring/base/config.h"

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
        case Collective::kBarrier:
            return Pattern::kBarrier;
        default:
            return Pattern::kAllReduce;
    }
}

}  // namespace

Tuning::Tuning(const Layout& layout, const Machine& machine)
    : ranks_(static_cast<size_t>(layout.size())),
      choices_({.hosts = layout.cells(), .ranks_per_host = layout.rails()}, machine,
               SizeTable(config().size_table)) {}

const Plan& Tuning::plan(const Signature& signature) const {
    const bool shares =
        signature.kind == Collective::kAllGather || signature.kind == Collective::kReduceScatter;
    return choices_.of(pattern_of(signature.kind),
                       signature.count * size_of(signature.dtype) * (shares ? ranks_ : 1));
}

}  // namespace ring
