"""Groups do not wait for each other, and messages do not wait for a collective of their own group.

One rank is withheld from an all_reduce. While the others are inside it, they and that rank do everything
else; only then may it come. So what waits for the all_reduce waits for ever: no clock is needed to see it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.distributed as dist

from harness import Pools

LAYOUTS = ("1x3", "3x1", "2+1", "2x2")
SMALL, LARGE = 10, 2_000_000


@contextmanager
def in_all_reduce(group: dist.ProcessGroup, numel: int, in_thread: bool) -> Iterator[None]:
    """All ranks but the last are in an all_reduce of the group, which ends when the last has left the block.

    In a thread that waits in the call, or as an operation that nobody waits for meanwhile.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    tensor = torch.ones(numel)

    def call() -> None:
        dist.all_reduce(tensor, group=group)

    if rank == size - 1:
        yield
        dist.barrier()  # all are done with the block, and must still be waiting
        dist.barrier()
        call()
    elif in_thread:
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        yield
        dist.barrier()
        assert thread.is_alive()
        dist.barrier()
        thread.join(timeout=20)
        assert not thread.is_alive()
    else:
        work = dist.all_reduce(tensor, group=group, async_op=True)
        yield
        dist.barrier()
        assert not work.is_completed()
        dist.barrier()
        work.wait()
    assert tensor[0] == tensor[-1] == size


def collectives_of(group: dist.ProcessGroup | None) -> None:
    size = dist.get_world_size()
    for numel in (SMALL, 100_000) * 5:
        tensor = torch.ones(numel)
        dist.all_reduce(tensor, group=group)
        assert tensor[-1] == size
        dist.broadcast(tensor, src=size - 1, group=group)
        dist.barrier(group=group)


def messages_in(group: dist.ProcessGroup | None) -> None:
    """Between all pairs, in both directions."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for numel in (SMALL, 100_000):
        sends = [
            dist.isend(torch.full((numel,), float(rank)), dst=to, group=group)
            for to in range(size)
            if to != rank
        ]
        for source in range(size):
            if source != rank:
                tensor = torch.empty(numel)
                dist.recv(tensor, src=source, group=group)
                assert tensor[-1] == source
        for send in sends:
            assert send is not None
            send.wait()


def collectives_elsewhere(blocked: dist.ProcessGroup) -> None:
    other = dist.new_group()  # made now: the store, the listener and the progress thread are not held up
    collectives_of(other)
    collectives_of(None)
    messages_in(other)
    dist.destroy_process_group(other)


def messages_in_the_same_group(blocked: dist.ProcessGroup) -> None:
    for _ in range(5):
        messages_in(blocked)


def failures_elsewhere(blocked: dist.ProcessGroup) -> None:
    """Another group that is aborted, and one that the ranks disagree in."""
    rank, size = dist.get_rank(), dist.get_world_size()
    aborted, disagreed = dist.new_group(), dist.new_group()
    dist.barrier()
    if rank == size - 1:
        aborted.abort()
    with pytest.raises(dist.DistBackendError, match="abort"):
        dist.barrier(group=aborted)
    with pytest.raises(dist.DistBackendError):
        dist.all_reduce(torch.ones(5 if rank else 6), group=disagreed)
    dist.destroy_process_group(aborted)
    dist.destroy_process_group(disagreed)


def while_one_is_missing(case: Callable[[dist.ProcessGroup], None], numel: int, in_thread: bool) -> None:
    blocked = dist.new_group()
    with in_all_reduce(blocked, numel, in_thread):
        case(blocked)
    collectives_of(blocked)
    dist.destroy_process_group(blocked)


def pipeline_of_groups() -> None:
    """As many all_reduces in flight as there are groups, begun in one order, ended in the reverse."""
    size = dist.get_world_size()
    groups = [dist.new_group() for _ in range(8)]
    tensors = [torch.ones(50_000) for _ in groups]
    works = [
        dist.all_reduce(tensor, group=group, async_op=True)
        for tensor, group in zip(tensors, groups, strict=True)
    ]
    for work, tensor, group in reversed(list(zip(works, tensors, groups, strict=True))):
        work.wait()
        assert tensor[-1] == size
        dist.destroy_process_group(group)  # while those before it are still at work


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("in_thread", [False, True], ids=["async", "in_thread"])
@pytest.mark.parametrize("numel", [SMALL, LARGE])
@pytest.mark.parametrize("case", [collectives_elsewhere, messages_in_the_same_group, failures_elsewhere])
def test_nothing_waits_for_a_blocked_all_reduce(
    pools: Pools, layout: str, in_thread: bool, numel: int, case: Callable[[dist.ProcessGroup], None]
) -> None:
    pools.get(layout).run(while_one_is_missing, case, numel, in_thread, deadline=15)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups_end_while_others_are_at_work(pools: Pools, layout: str) -> None:
    pools.get(layout).run(pipeline_of_groups)
