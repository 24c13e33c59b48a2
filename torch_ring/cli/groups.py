"""What ranks share: the process groups under test, and one more to agree on things."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from torch_ring.cli.options import device_type

T = TypeVar("T")

# Of one call: enough for large tensors over slow links. A rank that dies is noticed at once all the same.
_TIMEOUT = timedelta(minutes=5)


class WrongResultError(Exception):
    """A backend computed something else than it should. Raised on all ranks alike."""


@dataclass(frozen=True)
class Groups:
    """Made by joined()."""

    rank: int
    ranks: int
    measured: dict[str, dist.ProcessGroup]  # by backend, in the order asked for

    def device(self, backend: str) -> torch.device:
        kind = device_type(backend)
        return torch.device(kind if kind == "cpu" else f"{kind}:{os.environ.get('LOCAL_RANK', '0')}")

    def meet(self) -> None:
        """Waits for all ranks, asleep, and by other means than the backends under test."""
        dist.barrier()

    def gather(self, value: T) -> list[T]:
        """What each rank passed, on every rank."""
        values: list[T | None] = [None] * self.ranks
        dist.all_gather_object(values, value)
        return [each for each in values if each is not None]


@contextmanager
def joined(backends: Sequence[str]) -> Iterator[Groups]:
    """Joins the ranks that the environment describes; one torch thread per rank."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=_TIMEOUT)
    try:
        measured = {name: dist.new_group(backend=name, timeout=_TIMEOUT) for name in backends}
        yield Groups(dist.get_rank(), dist.get_world_size(), measured)
    finally:
        dist.destroy_process_group()
