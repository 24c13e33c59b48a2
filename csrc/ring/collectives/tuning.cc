// See tuning.h.
#include "ring/collectives/tuning.h"

#include <utility>

namespace ring {
Tuning::Tuning(const Layout& layout, Choices choices)
    : ranks_(static_cast<size_t>(layout.size())), choices_(std::move(choices)) {}

const Plan& Tuning::plan(const Signature& signature) const {
    return choices_.of(traits_of(signature.kind).plan, deciding_bytes(signature, ranks_));
}

}  // namespace ring
