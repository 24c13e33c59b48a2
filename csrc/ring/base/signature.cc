// See signature.h.
#include "ring/base/signature.h"

namespace ring {

int32_t digest_of(std::span<const uint64_t> shares) {
    // FNV-1a, a share at a time, and its upper half, which has seen all bits.
    uint64_t hash = 0xcbf29ce484222325;
    for (const uint64_t share : shares) {
        hash = (hash ^ share) * 0x100000001b3;
        hash ^= hash >> 29;
    }
    return static_cast<int32_t>(hash * 0x9e3779b97f4a7c15 >> 32);
}

size_t deciding_bytes(const Signature& signature, size_t ranks) {
    const bool shares = traits_of(signature.kind).all_shares && signature.uneven == 0;
    return signature.count * size_of(signature.dtype) * (shares ? ranks : 1);
}

std::string describe(const Signature& signature) {
    const CollectiveTraits& traits = traits_of(signature.kind);
    std::string text = std::string(name_of(signature.kind)) + "(";
    if (traits.sized) {
        text += name_of(signature.dtype);
        if (!traits.counted) text += "[" + std::to_string(signature.count) + "]";
        if (signature.uneven != 0) text += " in shares of different sizes";
        if (signature.op != ReduceOp::kNone && signature.op != ReduceOp::kSum)
            text += std::string(", ") + name_of(signature.op);
        if (signature.kind == Collective::kRecv && signature.root < 0) text += ", from any rank";
        if (signature.names_rank())
            text += std::string(traits.message
                                    ? (signature.kind == Collective::kSend ? ", to rank " : ", from rank ")
                                    : ", root ") +
                    std::to_string(signature.root);
    }
    return text + ")";
}

}  // namespace ring
