"""What each rank of `torch-ring bench` does: times the collectives over all backends, interleaved.

Machines drift: other load, clock rates, the placement of a virtual machine's cores. So backends take turns
within each round, each for about as long, and a figure is the median over all rounds of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from torch_ring.cli.bench.collectives import Case, bus_factor
from torch_ring.cli.groups import Groups, WrongResultError
from torch_ring.cli.sample import Sample, rotated, timed

CPU_COUNTS_FROM = 1 << 20  # bytes: for less, the time of all else outweighs that of the bytes
_TRIAL_SECONDS = 0.02
_TRIAL_CALLS = 50
_MOST_CALLS = 2000  # of a round: more would not make the median steadier


@dataclass(frozen=True)
class Workload:
    """What to measure; alike on all ranks."""

    collectives: list[str]
    sizes: list[int]  # bytes
    dtype: torch.dtype
    rounds: int
    seconds: float  # per size, backend and round


@dataclass(frozen=True)
class Row:
    """One backend at one size. Times are of a call: this statistic on each rank, then the slowest rank's."""

    collective: str
    bytes: int
    backend: str
    calls: int
    p10_us: float
    median_us: float
    p90_us: float
    mean_us: float
    round_medians_us: list[float]  # one per round: how steady the machine was
    busbw_gb_s: float  # GB are 1e9 bytes
    cpu_s_per_gb: float | None  # user and system time of all ranks, per 1e9 bytes of one rank's tensor
    time_over_first: float  # median, as a multiple of the first backend's


def measure(groups: Groups, workload: Workload) -> Iterator[list[Row]]:
    """Yields one list per collective and size: a row for each backend. Raises WrongResultError."""
    for collective in workload.collectives:
        for size in workload.sizes if collective != "barrier" else [0]:
            yield _measure_size(groups, workload, collective, size)


def _measure_size(groups: Groups, workload: Workload, collective: str, size: int) -> list[Row]:
    by_device = {groups.device(name): None for name in groups.measured}
    tensors = {device: Case(collective, size, workload.dtype, device) for device in by_device}
    cases = {name: tensors[groups.device(name)] for name in groups.measured}
    calls = {}
    for backend, case in cases.items():
        _check(groups, backend, case)
        seconds = _estimate(groups, partial(case.call, groups.measured[backend]))
        calls[backend] = min(_MOST_CALLS, max(1, int(workload.seconds / seconds)))
    samples = {backend: Sample() for backend in cases}
    for number in range(workload.rounds):
        for backend in rotated(list(cases), number):
            call = partial(cases[backend].call, groups.measured[backend])
            groups.meet()
            call()  # wakes the backend's threads
            samples[backend].take(calls[backend], call)
    return _rows(groups, cases, samples)


def _check(groups: Groups, backend: str, case: Case) -> None:
    wrong = groups.gather(case.wrong(groups.measured[backend]))
    if any(wrong):
        ranks = ", ".join(str(rank) for rank, count in enumerate(wrong) if count)
        raise WrongResultError(
            f"{case.name} of {case.bytes} bytes over {backend}: {sum(wrong)} wrong elements, on rank {ranks}"
        )


def _estimate(groups: Groups, call: Callable[[], None]) -> float:
    """Seconds of one call, agreed by all ranks."""
    longest = max(groups.gather(timed(call)))
    calls = min(_TRIAL_CALLS, max(1, int(_TRIAL_SECONDS / longest)))
    return max(groups.gather(sum(timed(call) for _ in range(calls)) / calls))


def _rows(groups: Groups, cases: dict[str, Case], samples: dict[str, Sample]) -> list[Row]:
    rows: list[Row] = []
    for backend, case in cases.items():
        seen = samples[backend].combine(groups)
        rows.append(
            Row(
                collective=case.name,
                bytes=case.bytes,
                backend=backend,
                calls=seen.calls,
                p10_us=1e6 * seen.p10,
                median_us=1e6 * seen.median,
                p90_us=1e6 * seen.p90,
                mean_us=1e6 * seen.mean,
                round_medians_us=[1e6 * median for median in seen.round_medians],
                busbw_gb_s=case.bytes / 1e9 / seen.median * bus_factor(case.name, groups.ranks),
                cpu_s_per_gb=seen.cpu / (case.bytes / 1e9) if case.bytes >= CPU_COUNTS_FROM else None,
                time_over_first=1e6 * seen.median / rows[0].median_us if rows else 1.0,
            )
        )
    return rows
