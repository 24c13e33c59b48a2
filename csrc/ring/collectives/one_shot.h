// Small all_reduces and barriers: as few steps as possible, each rank moving the whole vector.
#pragma once

#include "ring/collectives/context.h"

namespace ring {

// In one host: everyone writes its vector where all can see it, and sums all of them: one synchronisation.
// Over several: the first rank of each host sums its host, the sums go once round the ring, each adds them
// all up, and the result is handed out. At most kSmallBytes. With a count of 0 it is a barrier.
Task one_shot(Context& context);

}  // namespace ring
