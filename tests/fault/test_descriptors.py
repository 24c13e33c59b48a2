"""A process that has used up its descriptors: peers still get in, nothing spins, and errors say so."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from harness import Job
from support.faults import error_of

SECONDS = 2.0  # that rank 0 sleeps while its peer knocks


def take_all() -> list[int]:
    """Every descriptor that this process may still open; it may open few."""
    numbers = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(numbers) + 2, hard))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    return taken


def receive_without_descriptors() -> float:
    """CPU time while the peer's connection comes, to a process that has no descriptor left for it."""
    dist.barrier()
    tensor = torch.zeros(3)
    if dist.get_rank() == 1:
        time.sleep(0.5)
        dist.send(torch.ones(3), 0)
        return 0.0
    taken = take_all()
    before = time.process_time()
    time.sleep(SECONDS)
    spent = time.process_time() - before
    dist.recv(tensor, 1)
    for descriptor in taken:
        os.close(descriptor)
    assert tensor.tolist() == [1, 1, 1]
    return spent


def call_without_descriptors() -> None:
    """Rank 0 opens its connection to the peer at its first message."""
    dist.barrier()
    if dist.get_rank() == 0:
        taken = take_all()
        try:
            dist.send(torch.ones(3), 1)
        finally:
            for descriptor in taken:
                os.close(descriptor)
    else:
        dist.recv(torch.zeros(3), 0)


def make_group_without_descriptors() -> None:
    dist.barrier()
    taken = take_all() if dist.get_rank() == 0 else []
    try:
        # Its store is the world's: what lacks descriptors is ours.
        dist.new_group([0, 1], timeout=timedelta(seconds=20))
    finally:
        for descriptor in taken:
            os.close(descriptor)


def test_a_peer_gets_in(launch: Callable[..., Job]) -> None:
    job = launch("2x1").init()
    spent = job.run(receive_without_descriptors)
    assert spent[0] < 0.5, "the listener keeps the progress thread busy"


def test_the_error_of_one_that_cannot_call(launch: Callable[..., Job]) -> None:
    job = launch("2x1").init(timeout=20)
    for outcome in job.outcomes(call_without_descriptors).values():
        assert outcome.error, "no error"
        assert "out of descriptors" in outcome.error.message and "RLIMIT_NOFILE" in outcome.error.message
        error_of(outcome, "DistBackendError")
        assert outcome.seconds < 10


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_the_error_of_one_that_cannot_make_a_group(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init(timeout=20)
    for outcome in job.outcomes(make_group_without_descriptors).values():
        assert outcome.error, "no error"
        assert "out of descriptors" in outcome.error.message and "RLIMIT_NOFILE" in outcome.error.message
        error_of(outcome, "DistBackendError")
        assert outcome.seconds < 10
