"""torch_ring: the backend `ring` of torch.distributed.

`torch.distributed.init_process_group("ring")` works without importing this package; import it for `Options`,
for the types of its errors, or where TORCH_DEVICE_BACKEND_AUTOLOAD=0 keeps a torch older than 2.14 from
finding it.
"""

from typing import TYPE_CHECKING

from torch_ring._backend import load as _load
from torch_ring._backend import register as _register
from torch_ring.errors import (
    RingAbortedError,
    RingConfigError,
    RingError,
    RingMismatchError,
    RingPeerError,
    RingTimeoutError,
    RingTypeError,
)

if TYPE_CHECKING:
    from torch_ring._C import Options

__all__ = [
    "Options",
    "RingAbortedError",
    "RingConfigError",
    "RingError",
    "RingMismatchError",
    "RingPeerError",
    "RingTimeoutError",
    "RingTypeError",
]
__version__ = "0.1.0"

_register()


def __getattr__(name: str) -> object:
    # The compiled module is loaded when first needed: not at `import torch`, which imports this package.
    if name == "Options":
        return _load().Options
    raise AttributeError(f"module 'torch_ring' has no attribute {name!r}")
