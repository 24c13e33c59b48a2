"""What a rank has done counts when it ends without leaving, right after its last call."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Job
from support.faults import error_of

LATE = 0.4  # seconds
SMALL, LARGE = 1000, 1_000_000  # elements: the large one is taken by its receiver before send returns


def end_after(call: str, numel: int) -> list[float]:
    """Each rank ends as soon as its call has returned, but for the last one: what that has then."""
    rank, last = dist.get_rank(), dist.get_world_size() - 1
    tensor = torch.full((numel,), float(rank + 1))
    parts = [torch.full((numel,), float(r + 1)) for r in range(last + 1)]
    dist.barrier()
    if rank == last and numel == SMALL:
        time.sleep(LATE)
    if call == "send" and rank in (0, last):
        if rank == 0:
            dist.send(tensor, last)
        else:
            dist.recv(tensor, 0)
    elif call == "all_reduce":
        dist.all_reduce(tensor)
    elif call == "broadcast":
        dist.broadcast(tensor, 0)
    elif call == "scatter":
        dist.scatter(tensor, parts if rank == 0 else None, 0)
    elif call == "gather":
        dist.gather(tensor, parts if rank == last else None, last)
    if rank != last:
        os._exit(0)
    return sorted(set(tensor.tolist()))


@pytest.mark.parametrize("numel", [SMALL, LARGE])
@pytest.mark.parametrize("call", ["send", "all_reduce", "broadcast", "scatter", "gather"])
@pytest.mark.parametrize("layout", ["1x3", "2x1"])
def test_the_last_call_counts(launch: Callable[..., Job], layout: str, call: str, numel: int) -> None:
    job = launch(layout).init()
    size = job.layout.world_size
    outcome = job.outcomes(end_after, call, numel)[size - 1]
    assert outcome.error is None, outcome.error.message
    total = float(size * (size + 1) // 2)
    expected = {
        "send": 1.0,
        "all_reduce": total,
        "broadcast": 1.0,
        "scatter": float(size),
        "gather": float(size),
    }
    assert outcome.value == [expected[call]]


def end_or_go_on(numel: int) -> None:
    """Rank 0 ends after the first of two calls."""
    tensor = torch.ones(numel)
    dist.all_reduce(tensor)
    if dist.get_rank() == 0:
        os._exit(0)
    dist.all_reduce(tensor)


@pytest.mark.parametrize("numel", [SMALL, LARGE])
@pytest.mark.parametrize("layout", ["1x3", "3x1", "2+1"])
def test_who_needs_more_is_told(launch: Callable[..., Job], layout: str, numel: int) -> None:
    job = launch(layout).init()
    outcomes = job.outcomes(end_or_go_on, numel)
    for rank in range(1, job.layout.world_size):
        message = error_of(outcomes[rank], "RingPeerError").message
        assert "rank 0 (host" in message and "died: " in message and "operation 2" in message, message
        assert outcomes[rank].seconds < 3
