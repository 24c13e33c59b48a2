"""The times of one backend's calls, and what the ranks make of them together."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from torch_ring.cli.groups import Groups


@dataclass(frozen=True)
class Statistics:
    """In seconds. Of times: the statistic of each rank's calls, then the slowest rank's."""

    calls: int
    p10: float
    median: float
    p90: float
    mean: float
    round_medians: list[float]
    cpu: float  # user and system time per call, of all ranks together


class Sample:
    """What one rank has seen, round by round."""

    def __init__(self) -> None:
        self._rounds: list[list[float]] = []
        self._cpu = 0.0

    def take(self, calls: int, call: Callable[[], None]) -> None:
        """A round of so many calls. All rounds must have the same number."""
        before = _cpu_seconds()
        self._rounds.append([timed(call) for _ in range(calls)])
        self._cpu += _cpu_seconds() - before

    def combine(self, groups: Groups) -> Statistics:
        """All ranks must call it."""
        times = torch.tensor(self._rounds, dtype=torch.float64)
        quantiles = times.flatten().quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
        mine = torch.cat([quantiles, times.mean().reshape(1), times.quantile(0.5, dim=1)])
        p10, median, p90, mean, *rounds = torch.stack(groups.gather(mine)).amax(0).tolist()
        cpu = sum(groups.gather(self._cpu)) / times.numel()
        return Statistics(times.numel(), p10, median, p90, mean, rounds, cpu)


def timed(call: Callable[[], None]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def rotated(backends: list[str], by: int) -> list[str]:
    """The order of a round: nobody is always first."""
    start = by % len(backends)
    return backends[start:] + backends[:start]


def _cpu_seconds() -> float:
    """User and system time so far, of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
