"""The compiled module: libring behind c10d's interface. Users reach it through torch.distributed."""

from datetime import timedelta

from torch._C._distributed_c10d import Backend, Store

class RingBackend(Backend):
    def __init__(self, store: Store, rank: int, size: int, timeout: timedelta) -> None:
        """Form the group; all ranks must call it. Raises the errors of torch_ring.errors."""

class Parameter:
    """A setting: an environment variable, its limits, its default, its unit, what it means."""

    @property
    def name(self) -> str: ...
    @property
    def allowed(self) -> str: ...
    @property
    def default(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def meaning(self) -> str: ...

def parameters() -> list[Parameter]:
    """The table of all settings."""

def check_environment() -> list[str]:
    """Raise RingConfigError for a TORCH_RING_* value that is not allowed; return warnings for unknown names.

    Reads the environment; the values of the first call stay for the life of the process.
    """

def isa() -> str:
    """The instruction set of the reductions: "portable", "avx2" or "avx512"."""

def shutdown_all() -> None:
    """Leave every group of this process in good order."""
