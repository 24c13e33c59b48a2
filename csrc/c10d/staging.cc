// See staging.h.
#include "c10d/staging.h"

#include <ATen/MemoryOverlap.h>
#include <ATen/ops/clone.h>
#include <ATen/ops/copy.h>

#include "c10d/errors.h"

namespace torch_ring {
namespace {

constexpr c10::DispatchKeySet kIncluded(c10::DispatchKey::BackendSelect);
constexpr c10::DispatchKeySet kExcluded =
    c10::default_excluded_set | c10::autograd_dispatch_keyset_with_ADInplaceOrView | c10::python_ks;

// Whether the numbers in its memory, one after the other, are those of the tensor.
bool is_plain(const at::Tensor& tensor) {
    constexpr c10::DispatchKeySet kLazy(
        {c10::DispatchKey::Conjugate, c10::DispatchKey::Negative, c10::DispatchKey::ZeroTensor});
    return tensor.is_contiguous() && !tensor.key_set().has_any(kLazy);
}

at::Tensor stand_in(const at::Tensor& tensor) {
    const MemoryOnly here;
    return tensor.clone(at::MemoryFormat::Contiguous);
}

}  // namespace

MemoryOnly::MemoryOnly(bool inference)
    : before_(c10::AutogradState::get_tls_state()), dispatch_(kIncluded, kExcluded) {
    c10::AutogradState::set_tls_state({/*grad_mode=*/false, inference, /*fw_grad_mode=*/false,
                                       /*multithreading_enabled=*/true});
}

MemoryOnly::~MemoryOnly() {
    c10::AutogradState::set_tls_state(before_);
}

at::Tensor Staging::read(const at::Tensor& tensor) {
    return kept_.emplace_back(!apart_ && is_plain(tensor) ? tensor : stand_in(tensor));
}

at::Tensor Staging::write(const at::Tensor& tensor, const char* collective) {
    if (!apart_ && is_plain(tensor)) return kept_.emplace_back(tensor);
    RING_CHECK_VALUE(
        !tensor._is_zerotensor() && at::has_internal_overlap(tensor) != at::MemOverlap::Yes, collective,
        " into a tensor that cannot be written to: elements share memory, as those of an expanded tensor do. "
        "Give it a clone()");
    return written_.emplace_back(tensor, stand_in(tensor)).second;
}

void Staging::write_back() const {
    if (written_.empty()) return;
    const MemoryOnly here;
    for (const auto& [callers, stand_in] : written_) callers.copy_(stand_in);
}

}  // namespace torch_ring
