"""A rank that is killed becomes a RingPeerError that names it, on every survivor, soon."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Job, Loopback
from harness.layout import Layout
from support.faults import (
    LARGE,
    LAYOUTS,
    check_all_raise,
    destroy_in_time,
    error_of,
    reduce_forever,
    reduce_once,
)

WITHIN = 3.0  # seconds from the kill to the last survivor's error

POSITIONS = [(layout, rank) for layout in LAYOUTS for rank in Layout.parse(layout).ranks]


def call_again() -> dict[str, tuple[str, float]]:
    """What different collectives raise on a group that has failed, and after how many seconds."""
    raised = {}
    calls: dict[str, Callable[[], object]] = {
        "all_reduce": lambda: dist.all_reduce(torch.ones(10)),
        "broadcast": lambda: dist.broadcast(torch.ones(10), src=0),
        "barrier": lambda: dist.barrier(),
        "waited for": lambda: dist.all_reduce(torch.ones(10), async_op=True).wait(),
    }
    for name, call in calls.items():
        started = time.monotonic()
        try:
            call()
        except dist.DistBackendError as error:
            raised[name] = (type(error).__name__, time.monotonic() - started)
    return raised


@pytest.mark.parametrize(("layout", "victim"), POSITIONS)
def test_inside_a_large_all_reduce(launch: Callable[..., Job], layout: str, victim: int) -> None:
    job = launch(layout).init()
    job.run(reduce_once)
    pending = job.submit(reduce_forever, LARGE)
    time.sleep(0.4)
    killed = job.kill(victim)
    outcomes = pending.wait(WITHIN + 5)
    check_all_raise(job, outcomes, set(job.layout.ranks) - {victim}, "RingPeerError", {victim})
    assert max(outcome.finished for outcome in outcomes.values()) - killed < WITHIN


@pytest.mark.parametrize(("layout", "victim"), [("1x4", 0), ("4x1", 2), ("2x2", 1), ("2+1", 2)])
def test_while_the_group_is_idle(launch: Callable[..., Job], layout: str, victim: int) -> None:
    job = launch(layout).init()
    job.run(reduce_once)
    job.kill(victim)
    time.sleep(0.3)
    outcomes = job.outcomes(reduce_once)
    check_all_raise(job, outcomes, set(job.layout.ranks) - {victim}, "RingPeerError", {victim})
    assert max(outcome.seconds for outcome in outcomes.values()) < 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_group_stays_failed_and_can_be_destroyed(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init()
    job.run(reduce_once)
    job.kill(1)
    for outcome in job.outcomes(reduce_once).values():
        error_of(outcome, "RingPeerError")
    for raised in job.run(call_again):
        assert len(raised) == 4
        for name, (type_name, seconds) in raised.items():
            assert type_name == "RingPeerError" and seconds < 0.5, f"{name}: {type_name} after {seconds} s"
    assert max(job.run(destroy_in_time)) < 5


def train_forever() -> None:
    """DDP until it raises: the error reaches the caller through autograd."""
    model = torch.nn.Sequential(*[torch.nn.Linear(300, 300) for _ in range(4)])
    ddp = torch.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=1)
    while True:
        ddp(torch.ones(4, 300)).sum().backward()


def wait_for_future() -> None:
    dist.all_reduce(torch.ones(10), async_op=True).get_future().wait()


@pytest.mark.parametrize("layout", ["1x4", "2x2"])
def test_the_type_survives_autograd_and_futures(training_place: Loopback, layout: str) -> None:
    job = Job(training_place, layout).init()
    try:
        pending = job.submit(train_forever)
        time.sleep(0.6)
        job.kill(1)
        survivors = set(job.layout.ranks) - {1}
        check_all_raise(job, pending.wait(WITHIN + 5), survivors, "RingPeerError", {1})
        again = job.submit(wait_for_future, ranks=survivors).wait(WITHIN + 5)
        check_all_raise(job, again, survivors, "RingPeerError", {1})
    finally:
        job.kill_all()


_second: dist.ProcessGroup | None = None


def make_second_group() -> None:
    global _second
    _second = dist.new_group()
    dist.all_reduce(torch.ones(10), group=_second)


def leave_after_an_error() -> None:
    """As a script ends that catches the error of one group and destroys all."""
    try:
        dist.all_reduce(torch.ones(10))
    except dist.DistBackendError:
        dist.destroy_process_group()


def reduce_in_second_group() -> None:
    dist.reduce(torch.ones(10), dst=1, group=_second)


def test_who_is_left_alone_hears_who_died_first(launch: Callable[..., Job]) -> None:
    job = launch("3x1").init()
    job.run(make_second_group)
    waiting = job.submit(reduce_in_second_group, ranks={1})
    time.sleep(0.3)
    job.kill(2)
    job.submit(leave_after_an_error, ranks={0}).wait(WITHIN + 5)
    check_all_raise(job, waiting.wait(WITHIN + 5), {1}, "RingPeerError", {2})
