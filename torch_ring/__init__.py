"""torch_ring: the backend `ring` of torch.distributed.

`torch.distributed.init_process_group("ring")` works without importing this package; import it for the types
of its errors, or where TORCH_DEVICE_BACKEND_AUTOLOAD=0 keeps torch from finding it.
"""

from torch_ring._backend import register as _register
from torch_ring.errors import (
    RingAbortedError,
    RingConfigError,
    RingError,
    RingMismatchError,
    RingPeerError,
    RingTimeoutError,
)

__all__ = [
    "RingAbortedError",
    "RingConfigError",
    "RingError",
    "RingMismatchError",
    "RingPeerError",
    "RingTimeoutError",
]
__version__ = "0.1.0"

_register()
