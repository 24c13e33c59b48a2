"""Measures the time a DDP training step spends waiting for communication, for any backend alike.

DDP sends a bucket of gradients as soon as backward has filled it and goes on computing, so communication
costs a step only what it does not hide behind computation. That exposed time is what is counted:

- the time inside the communication hook, which is long only where a backend blocks in `all_reduce`;
- from the launch of the last bucket, when all local gradients are computed, to the return of `backward()`,
  which waits until all buckets have been reduced;
- the time in other collectives, which the script wraps in `waiting()`.

The hook is PyTorch's own `allreduce_hook`, so the mathematics is DDP's. Waiting for a slower rank counts, as
it would in any collective. Processor time that a backend's threads take from the computation does not: it
shows as fewer tokens/s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class CommClock:
    """Counts the seconds of each step and how many of them were exposed communication."""

    def __init__(
        self, model: DistributedDataParallel, group: dist.ProcessGroup, device: torch.device
    ) -> None:
        self._group = group
        self._events: list[torch.cuda.Event] = []
        if device.type == "cuda":  # kernels run behind the host's back: only events on their stream tell
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
        self._launched = 0.0
        self.restart()
        model.register_comm_hook(None, lambda _, bucket: self.launch(bucket))

    def restart(self) -> None:
        """Begins a new step now; what has passed since the last one is not counted."""
        self._comm = 0.0
        self._start = time.perf_counter()

    def launch(self, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Starts the reduction of a bucket."""
        if self._events and bucket.is_last():
            self._events[0].record()
        with self.waiting():
            future = allreduce_hook(self._group, bucket)
        self._launched = time.perf_counter()
        return future

    def backward_returned(self) -> None:
        """To be called right after `loss.backward()`."""
        if self._events:
            self._events[1].record()
        else:
            self._comm += time.perf_counter() - self._launched

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the block as communication."""
        begin = time.perf_counter()
        yield
        self._comm += time.perf_counter() - begin

    def lap(self) -> tuple[float, float]:
        """Ends a step and begins the next: seconds of communication and seconds in all.

        On a CUDA device to be called when the step's kernels have finished, as after `loss.item()`.
        """
        now = time.perf_counter()
        comm, seconds = self._comm, now - self._start
        if self._events:
            self._events[1].synchronize()
            comm += self._events[0].elapsed_time(self._events[1]) / 1000
        self._comm, self._start = 0.0, now
        return comm, seconds
