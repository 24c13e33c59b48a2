"""Errors of a group that is not of all ranks name its ranks as the user does, and the group."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from harness import Job
from support.faults import check_all_raise, error_of, reduce_once

MEMBERS = [2, 3]
LAYOUTS = ("1x4", "2x2", "4x1")

_group: dist.ProcessGroup | None = None


def make_group(timeout: float) -> None:
    global _group
    group = dist.new_group(MEMBERS, timedelta(seconds=timeout), group_desc="pipeline")
    if dist.get_rank() in MEMBERS:
        assert isinstance(group, dist.ProcessGroup)
        _group = group


def reduce_in_group(numel: int) -> None:
    dist.all_reduce(torch.ones(numel), group=_group)


def reduce_different_sizes() -> None:
    reduce_in_group(dist.get_rank())


def broadcast_from_different_ranks() -> None:
    dist.broadcast(torch.ones(5), src=dist.get_rank(), group=_group)


@pytest.fixture
def job(launch: Callable[..., Job], request: pytest.FixtureRequest) -> Job:
    made = launch(request.param).init()
    made.run(make_group, 2.0)
    return made


@pytest.mark.parametrize("job", LAYOUTS, indirect=True)
def test_a_rank_that_died(job: Job) -> None:
    pending = job.submit(reduce_in_group, 100, ranks={2})
    job.kill(3)
    outcomes = pending.wait(10)
    check_all_raise(job, outcomes, {2}, "RingPeerError", {3})
    assert "of the group 'pipeline' [2, 3]" in error_of(outcomes[2], "RingPeerError").message


@pytest.mark.parametrize("job", LAYOUTS, indirect=True)
def test_a_rank_that_does_not_call(job: Job) -> None:
    outcomes = job.submit(reduce_in_group, 100, ranks={2}).wait(10)
    message = error_of(outcomes[2], "RingTimeoutError").message
    assert "on rank 2" in message and "rank 3 (host" in message, message
    assert "of the group 'pipeline' [2, 3]" in message
    assert job.run(reduce_once) == [6.0] * 4, "the group of all ranks goes on"


@pytest.mark.parametrize("job", LAYOUTS, indirect=True)
def test_ranks_that_call_different_things(job: Job) -> None:
    for outcome in job.submit(reduce_different_sizes, ranks=MEMBERS).wait(10).values():
        message = error_of(outcome, "RingMismatchError").message
        assert "rank 2 all_reduce(float32[2])" in message or "rank 2 called all_reduce(float32[2])" in message
        assert "rank 3 all_reduce(float32[3])" in message or "rank 3 called all_reduce(float32[3])" in message


@pytest.mark.parametrize("job", LAYOUTS, indirect=True)
def test_roots_that_differ(job: Job) -> None:
    for outcome in job.submit(broadcast_from_different_ranks, ranks=MEMBERS).wait(10).values():
        message = error_of(outcome, "RingMismatchError").message
        assert "root 2" in message and "root 3" in message, message
