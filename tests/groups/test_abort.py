"""abort() ends a group for everybody, whatever they are waiting for, and no other group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Pools

LAYOUTS = ("1x2", "2+1", "2x2")
SOON = 2.0  # seconds from the abort until the last one has heard of it, on a busy machine
LARGE = 4_000_000


def small_all_reduce(group: dist.ProcessGroup) -> None:
    dist.all_reduce(torch.ones(10), group=group)


def large_all_reduce(group: dist.ProcessGroup) -> None:
    dist.all_reduce(torch.ones(LARGE), group=group)


def barrier(group: dist.ProcessGroup) -> None:
    dist.barrier(group=group)


def receive(group: dist.ProcessGroup) -> None:
    """From the rank that will abort, which sends nothing."""
    dist.recv(torch.ones(10), src=0, group=group)


def send_large(group: dist.ProcessGroup) -> None:
    """To the rank that will abort, which does not receive it, and too much for anybody to keep meanwhile."""
    dist.send(torch.ones(LARGE), dst=0, group=group)


def several_async(group: dist.ProcessGroup) -> None:
    works = [dist.all_reduce(torch.ones(1000), group=group, async_op=True) for _ in range(10)]
    for work in reversed(works):
        work.wait()


def future(group: dist.ProcessGroup) -> None:
    done = dist.all_reduce(torch.ones(1000), group=group, async_op=True).get_future()
    try:
        done.then(lambda tensors: tensors.value()).wait()
    except RuntimeError as error:  # a future that follows another keeps no more than the text
        raise dist.DistBackendError(str(error)) from error


CALLS = (small_all_reduce, large_all_reduce, barrier, receive, send_large, several_async, future)


def abort_while(call: Callable[[dist.ProcessGroup], None]) -> tuple[float, float]:
    """Rank 0 aborts the group while the others are in `call`. When it did, and when this rank knew of it."""
    group = dist.new_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    dist.barrier(group=group)
    dist.barrier()  # another group's, so that the abort cannot meet a rank that still is in it
    aborted = 0.0
    if rank == 0:
        time.sleep(0.1)  # the others are waiting by then
        aborted = time.monotonic()
        group.abort()
    with pytest.raises(dist.DistBackendError, match="abort"):
        (small_all_reduce if rank == 0 else call)(group)
    knew = time.monotonic()
    with pytest.raises(dist.DistBackendError, match="rank 0 aborted the group"):
        dist.barrier(group=group)  # it stays so, for every later call
    dist.destroy_process_group(group)
    total = torch.ones(1)
    dist.all_reduce(total)
    assert int(total) == size, "the other group goes on"
    return aborted, knew


def abort_from_another_thread() -> float:
    """All ranks wait; a thread of one of them aborts. Seconds that this rank waited."""
    group = dist.new_group()
    last = dist.get_world_size() - 1
    timer = threading.Timer(0.2, group.abort)
    if dist.get_rank() == last:
        timer.start()
    started = time.monotonic()
    # Everybody waits for somebody else, in a circle: nobody sends.
    with pytest.raises(dist.DistBackendError, match=f"rank {last} aborted the group"):
        dist.recv(torch.ones(1), src=(dist.get_rank() + 1) % (last + 1), group=group)
    waited = time.monotonic() - started
    dist.destroy_process_group(group)
    return waited


def abort_on_all() -> None:
    """At once, and a second time: as torch's own abort of the default group and all others does it."""
    groups = [dist.new_group() for _ in range(3)]
    for group in groups:
        dist.barrier(group=group)
    dist.barrier()  # another group's, so that an abort cannot meet a rank that still is in it
    for group in groups * 2:
        group.abort()
    for group in groups:
        with pytest.raises(dist.DistBackendError, match="abort"):
            dist.barrier(group=group)
    for group in groups[1:]:
        dist.destroy_process_group(group)
        group.abort()  # after the end it does nothing


def abort_idle() -> float:
    """Nobody is in the group when a rank aborts it: the others find it so. Seconds until this one did."""
    group = dist.new_group()
    if dist.get_rank() == 0:
        group.abort()
    dist.barrier()
    started = time.monotonic()
    with pytest.raises(dist.DistBackendError, match="rank 0 aborted the group"):
        dist.barrier(group=group)
    dist.destroy_process_group(group)
    return time.monotonic() - started


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", CALLS)
def test_abort_unblocks_everybody(
    pools: Pools, layout: str, call: Callable[[dist.ProcessGroup], None]
) -> None:
    seen = pools.get(layout).run(abort_while, call)
    aborted = seen[0][0]
    for rank, (_, knew) in enumerate(seen):
        assert knew - aborted < SOON, f"rank {rank}"
        assert rank == 0 or knew > aborted, f"rank {rank} was not waiting"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_abort_from_another_thread(pools: Pools, layout: str) -> None:
    for waited in pools.get(layout).run(abort_from_another_thread):
        assert 0.1 < waited < SOON


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_abort_while_nobody_waits(pools: Pools, layout: str) -> None:
    assert max(pools.get(layout).run(abort_idle)) < SOON


@pytest.mark.parametrize("layout", LAYOUTS)
def test_abort_on_all_ranks_at_once(pools: Pools, layout: str) -> None:
    pools.get(layout).run(abort_on_all)
