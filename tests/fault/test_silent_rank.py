"""A rank that is alive but silent becomes a RingTimeoutError that names it, at the timeout, on all others."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Job, Lab, Outcome
from support.faults import LARGE, LAYOUTS, check_all_raise, error_of, reduce_forever, reduce_once

TIMEOUT = 2.5  # of the groups, in seconds
LATE = 1.5  # how much later than that an error may come, on a busy machine


def others(job: Job, silent: int) -> set[int]:
    return set(job.layout.ranks) - {silent}


def start_jobs(launch: Callable[..., Job], layout: str) -> dict[int, Job]:
    """A job for each position of the silent rank: they all wait for their timeouts at once."""
    first = launch(layout)
    jobs = {rank: launch(layout) if rank else first for rank in first.layout.ranks}
    for job in jobs.values():
        job.init(timeout=TIMEOUT).run(reduce_once)
    return jobs


def check_timeouts(job: Job, outcomes: dict[int, Outcome], silent: int) -> None:
    check_all_raise(job, outcomes, others(job, silent), "RingTimeoutError", {silent})
    for rank, outcome in outcomes.items():
        assert 0.9 * TIMEOUT < outcome.seconds < TIMEOUT + LATE, f"rank {rank} after {outcome.seconds} s"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_rank_that_never_calls(launch: Callable[..., Job], layout: str) -> None:
    jobs = start_jobs(launch, layout)
    pendings = {rank: job.submit(reduce_once, ranks=others(job, rank)) for rank, job in jobs.items()}
    for silent, pending in pendings.items():
        outcomes = pending.wait(TIMEOUT + 10)
        check_timeouts(jobs[silent], outcomes, silent)
        for outcome in outcomes.values():
            assert outcome.error and "did not call it" in outcome.error.message, outcome.error


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_rank_that_is_stopped(launch: Callable[..., Job], layout: str) -> None:
    jobs = start_jobs(launch, layout)
    for rank, job in jobs.items():
        job.freeze(rank)
    pendings = {rank: job.submit(reduce_once, ranks=others(job, rank)) for rank, job in jobs.items()}
    for silent, pending in pendings.items():
        outcomes = pending.wait(TIMEOUT + 10)
        check_timeouts(jobs[silent], outcomes, silent)
        if layout == "4x1":  # nobody else of its host could tell
            for outcome in outcomes.values():
                assert outcome.error and "nothing was heard from rank" in outcome.error.message, outcome.error


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_rank_that_is_stopped_inside_a_large_all_reduce(launch: Callable[..., Job], layout: str) -> None:
    """The others are stuck too, one behind the other, and still must not blame each other."""
    stopped = []
    for silent, job in start_jobs(launch, layout).items():
        pending = job.submit(reduce_forever, LARGE // 4)
        time.sleep(0.4)
        job.freeze(silent)
        pending.waiting.discard(silent)
        stopped.append((silent, job, pending, time.monotonic()))
    for silent, job, pending, since in stopped:
        outcomes = pending.wait(TIMEOUT + 10)
        check_all_raise(job, outcomes, others(job, silent), "RingTimeoutError", {silent})
        assert max(outcome.finished for outcome in outcomes.values()) - since < TIMEOUT + LATE


def receive_or_send() -> float:
    """Rank 1 receives what rank 0 sends."""
    tensor = torch.full((1000,), 1.0 - dist.get_rank())
    if dist.get_rank() == 1:
        dist.recv(tensor, src=0)
    else:
        dist.send(tensor, dst=1)
    return float(tensor[-1])


@pytest.mark.parametrize("function", [reduce_once, receive_or_send])
def test_a_rank_that_is_stopped_beyond_its_timeout_takes_what_has_come_meanwhile(
    launch: Callable[..., Job], function: Callable[[], float]
) -> None:
    """Its time is over when it goes on, but nothing is missing any more."""
    jobs = [launch(layout).init(timeout=TIMEOUT) for layout in ("1x2", "2x1")]
    for job in jobs:
        job.run(function)  # which opens what connections it needs
    late = [job.submit(function, ranks={1}) for job in jobs]
    time.sleep(0.4)
    for job in jobs:
        job.freeze(1)
    for job in jobs:
        assert job.submit(function, ranks={0}).values() == [1.0]
    time.sleep(TIMEOUT)
    for job, pending in zip(jobs, late, strict=True):
        job.thaw(1)
        assert pending.values() == [1.0]
        assert job.run(function) == [1.0, 1.0]


@pytest.mark.parametrize("layout", ["4x1", "2x2"])
def test_a_host_that_is_cut_off(lab: Lab, layout: str) -> None:
    """The others cannot tell it from a silent one, nor it them: both sides raise, and nobody hangs."""
    with Job(lab, layout) as job:
        job.init(timeout=TIMEOUT).run(reduce_once)
        pending = job.submit(reduce_forever, LARGE // 4)
        time.sleep(0.4)
        lab.netlab("link", "1", "down")
        cut = time.monotonic()
        try:
            outcomes = pending.wait(TIMEOUT + 10)
        finally:
            lab.netlab("link", "1", "up")
            job.healthy = False
        assert set(outcomes) == set(job.layout.ranks)
        for outcome in outcomes.values():
            error_of(outcome, "RingTimeoutError")
            assert outcome.finished - cut < TIMEOUT + LATE
