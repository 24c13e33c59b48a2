"""What goes wrong with send and recv is told, on both sides, and never hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Job
from support.faults import error_of

LAYOUTS = ("1x2", "2x1", "2+1")
LARGE = 1_000_000  # elements: more than is sent before it is received


def receive(numel: int = 4, any_source: bool = False) -> None:
    if dist.get_rank() == 0:
        dist.recv(torch.zeros(numel), src=None if any_source else 1, tag=7)


def send(numel: int) -> None:
    if dist.get_rank() == 1:
        dist.send(torch.zeros(numel), dst=0, tag=7)


def sizes_differ(sent: int, received: int) -> None:
    rank = dist.get_rank()
    if rank == 0:
        dist.recv(torch.zeros(received), src=1)
    elif rank == 1:
        dist.send(torch.zeros(sent), dst=0)
    dist.barrier()


def leave() -> None:
    if dist.get_rank() == 1:
        dist.destroy_process_group()
    elif dist.get_rank() == 0:
        dist.recv(torch.zeros(4), src=1, tag=7)


@pytest.mark.parametrize("any_source", [False, True], ids=["one_source", "any_source"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nobody_sends(launch: Callable[..., Job], layout: str, any_source: bool) -> None:
    job = launch(layout).init(timeout=1.5)
    outcome = job.outcomes(receive, 4, any_source)[0]
    message = error_of(outcome, "RingTimeoutError").message
    assert "tag 7" in message and ("any rank" if any_source else "rank 1") in message, message
    assert 1.3 < outcome.seconds < 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nobody_receives(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init(timeout=1.5)
    outcome = job.outcomes(send, LARGE)[1]
    message = error_of(outcome, "RingTimeoutError").message
    assert "rank 0" in message and "has not received it" in message and "tag 7" in message, message
    assert 1.3 < outcome.seconds < 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_peer_dies(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init()
    pending = job.submit(receive, ranks=[0])
    time.sleep(0.3)
    killed = job.kill(1)
    outcome = pending.wait(8)[0]
    assert "rank 1" in error_of(outcome, "RingPeerError").message
    assert outcome.finished - killed < 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_peer_dies_while_it_sends(launch: Callable[..., Job], layout: str) -> None:
    """Its connection is of the message alone: nobody else tells this rank."""
    job = launch(layout).init()
    pending = job.submit(send, LARGE, ranks=[1])
    time.sleep(0.3)
    killed = job.kill(1)
    outcome = job.outcomes(receive, LARGE)[0]
    assert "rank 1" in error_of(outcome, "RingPeerError").message
    assert outcome.finished - killed < 4
    pending.wait(1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_peer_leaves(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init()
    outcomes = job.outcomes(leave)
    assert outcomes[1].error is None
    message = error_of(outcomes[0], "RingPeerError").message
    assert "rank 1" in message and "left the group" in message, message
    assert outcomes[0].seconds < 3


@pytest.mark.parametrize("sizes", [(10, 12), (12, 10), (LARGE, LARGE + 1), (LARGE, 3)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_differ(launch: Callable[..., Job], layout: str, sizes: tuple[int, int]) -> None:
    job = launch(layout).init()
    outcomes = job.outcomes(sizes_differ, *sizes)
    for outcome in outcomes.values():
        message = error_of(outcome, "RingMismatchError").message
        assert f"{4 * sizes[0]} bytes" in message and f"expects {4 * sizes[1]}" in message, message
        assert outcome.seconds < 3
