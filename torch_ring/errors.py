"""The errors of the backend `ring`. Each says what happened, where, and what to do.

All of them derive from torch.distributed.DistBackendError. After any of them but RingConfigError and
RingTypeError the group is of no more use: every later collective on it raises the same error at once, on
every rank. The group can be destroyed, and a new one made.
"""

from torch.distributed import DistBackendError


class RingError(DistBackendError):
    """Something went wrong that has no type of its own: a system call failed, or torch_ring has a bug."""


class RingConfigError(RingError, ValueError):
    """A setting or an argument makes no sense. Nothing was sent, and the group goes on."""


class RingTypeError(RingConfigError, TypeError):
    """An argument has a type that makes no sense, such as tensors of different dtypes. Nothing was sent."""


class RingMismatchError(RingError):
    """The ranks called different collectives, or the same with different arguments.

    Says what each side called.
    """


class RingPeerError(RingError):
    """A peer died, left the group, or cannot be reached.

    Names the rank, its host, and the operation in flight.
    """


class RingTimeoutError(RingError):
    """A deadline passed. Names the ranks that are missing."""


class RingAbortedError(RingError):
    """The group was aborted or shut down while the operation was in flight, or before it was called."""
