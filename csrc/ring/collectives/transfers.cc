// See transfers.h.
#include "ring/collectives/transfers.h"

#include <cstring>

namespace ring {
namespace {

constexpr size_t kWindow = 2;  // messages from or to another host: one while the next one is granted

}  // namespace

Task drain(Transfers& transfers, size_t keep) {
    while (transfers.size() > keep) {
        co_await until(TransferDone(transfers.front()));
        transfers.pop_front();
    }
}

Task make_room(Transfers& transfers) {
    co_await drain(transfers, kWindow - 1);
    if (!transfers.empty()) co_await until(TransferEnding(transfers.back()));
}

void copy_share(void* to, const void* from, size_t bytes) {
    if (bytes > 0 && to != from) std::memcpy(to, from, bytes);
}

}  // namespace ring
