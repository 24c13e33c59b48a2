"""The compiled module: libring behind c10d's interface. Users reach it through torch.distributed."""

from typing import Any

from torch._C._distributed_c10d import Backend, Store

class Options(Backend.Options):
    """What can be set for one group; pass it as `pg_options=`. docs/configuration.md says what each means.

    Starts with the values of the process, which the TORCH_RING_* variables give. None stands for the default.
    Setting an attribute raises RingConfigError for a value that is not allowed, TypeError for another type.
    The group takes a copy: to change it afterwards has no effect.
    """

    algorithm: str | None
    chunk_bytes: int | None
    host_small_bytes: int | None
    single_copy: str | None
    size_table: str | None
    link: str | None
    streams: int | None
    spin_us: int | None

    def __init__(
        self,
        *,
        algorithm: str | None = ...,
        chunk_bytes: int | None = ...,
        host_small_bytes: int | None = ...,
        single_copy: str | None = ...,
        size_table: str | None = ...,
        link: str | None = ...,
        streams: int | None = ...,
        spin_us: int | None = ...,
    ) -> None: ...
    def __getstate__(self) -> dict[str, Any]:
        """For pickle: the settings and the timeout, whatever the environment says where it is loaded."""

    def __setstate__(self, state: dict[str, Any]) -> None: ...
    def __copy__(self) -> Options: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Options: ...

class RingBackend(Backend):
    """What torch makes of `init_process_group("ring")`: the collectives of one group, on one rank."""

    def __init__(self, store: Store, rank: int, size: int, options: Options) -> None:
        """Form the group; all ranks must call it. Raises the errors of torch_ring.errors."""

    @staticmethod
    def refuse(
        store: Store, rank: int, size: int, global_ranks: list[int], group_name: str, why: str
    ) -> None:
        """Let the other ranks know why this one makes no group. Never raises."""

    @property
    def options(self) -> Options:
        """What the group was made with."""

    def perform_nocolor_split(self, device: object) -> None:
        """Do nothing: ranks outside a split have nothing to do for it."""

class Parameter:
    """A setting: an environment variable, its limits, its default, its unit, what it means."""

    @property
    def name(self) -> str: ...
    @property
    def field(self) -> str:
        """What Options calls it: "chunk_bytes"."""

    @property
    def type(self) -> str:
        """ "int" or "str"."""

    @property
    def per_group(self) -> bool:
        """Whether Options has it."""

    @property
    def alike(self) -> bool:
        """Whether the ranks of a group must have the same value."""

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

class DeviceFinding:
    """What there is of CUDA: "CUDA runtime", "GPUs" or "NCCL"; its version and file, or why there is none."""

    @property
    def what(self) -> str: ...
    @property
    def found(self) -> bool: ...
    @property
    def words(self) -> str: ...

def device_findings() -> list[DeviceFinding]:
    """Load the libraries, if they are not, and tell what was found."""

def set_library_folders(folders: list[bytes]) -> None:
    """Folders in which libraries are looked for that torch has not loaded."""

def isa() -> str:
    """The instruction set of the reductions: "portable", "avx2" or "avx512"."""

def shutdown_all() -> None:
    """Leave every group of this process in good order."""

def dtypes() -> list[str]:
    """The dtypes that libring knows, by torch's names; it moves others as bytes, complex ones as reals."""

def reduce_ops() -> list[str]:
    """The reduce ops: "SUM", "AVG" ..."""

def reduces(dtype: str, op: str) -> bool:
    """Whether the op is defined for the dtype. Raises RingConfigError for an unknown name."""

def bus_factor(collective: str, ranks: int) -> float:
    """busbw is algbw times this, as nccl-tests counts. Raises RingConfigError for an unknown name."""

class LinkCost:
    """Between two hosts: latency one way, time per byte of the link, time per further frame."""

    latency_s: float
    seconds_per_byte: float
    frame_s: float

class HostCost:
    """Inside a host: one synchronisation, time per byte through shared memory, time per byte reduced."""

    sync_s: float
    seconds_per_byte: float
    reduce_seconds_per_byte: float

class Machine:
    """What the cost model knows of the hosts. A new one has the defaults: 10 Gbit/s Ethernet."""

    def __init__(self) -> None: ...
    link: LinkCost
    host: HostCost
    stream_seconds_per_byte: float

class Plan:
    """A way to run a collective; see csrc/ring/topology/cost_model.h."""

    @property
    def algorithm(self) -> str: ...
    @property
    def chunk_bytes(self) -> int: ...
    @property
    def streams(self) -> int: ...
    @property
    def rails(self) -> int: ...
    @property
    def pieces(self) -> int: ...

class Prediction:
    """What a plan costs. `bytes_per_link`: over the busiest host's link, in its busier direction."""

    @property
    def plan(self) -> Plan: ...
    @property
    def steps(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def frames(self) -> float: ...
    @property
    def bytes_per_link(self) -> float: ...
    @property
    def efficiency(self) -> float: ...

def predict_all(
    collective: str, bytes: int, hosts: int, ranks_per_host: int, machine: Machine
) -> list[Prediction]:
    """The best plan of each algorithm. Raises RingConfigError for an unknown name or senseless numbers."""

def choose(
    collective: str,
    bytes: int,
    hosts: int,
    ranks_per_host: int,
    machine: Machine,
    size_table: str = "",
    algorithm: str | None = None,
) -> Prediction:
    """The best plan, as the engine chooses it; of `algorithm` if given. Raises RingConfigError."""

def plans_by_size(
    collective: str, hosts: int, ranks_per_host: int, machine: Machine, size_table: str = ""
) -> list[tuple[int, Plan]]:
    """The plans for all sizes, each with the first size that it is for. Raises RingConfigError."""
