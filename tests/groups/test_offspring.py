"""Groups made of a group: shrink_group, and what split_group and merge do below torch's own conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from harness import Job, Pools
from torch.distributed.distributed_c10d import SHRINK_ABORT, SHRINK_DEFAULT


def sum_of_ranks(group: Any, rank: int) -> float:
    tensor = torch.full((1000,), float(rank))
    dist.all_reduce(tensor, group=group)
    return float(tensor[-1])


def shrink_default_group(flags: int) -> tuple[int, int, float] | None:
    """Without rank 1, which ends its part as a process that was told to go does."""
    rank = dist.get_rank()
    if rank == 1:
        dist.destroy_process_group()
        return None
    group = dist.shrink_group([1], shrink_flags=flags)
    total = sum_of_ranks(None, rank)
    assert sum_of_ranks(group, rank) == total
    found = group.rank(), group.size(), total
    dist.destroy_process_group()
    return found


def shrink_after_a_death() -> tuple[int, float]:
    """The survivors find out by an error, abort what is left, and go on."""
    rank = dist.get_rank()
    with pytest.raises(dist.DistBackendError):
        for _ in range(10_000):
            dist.all_reduce(torch.ones(100_000))
    group = dist.shrink_group([2], shrink_flags=SHRINK_ABORT)
    return group.size(), sum_of_ranks(group, rank)


def shrink_a_subgroup() -> float:
    """The default group and the excluded rank's place in it stay as they are."""
    rank, size = dist.get_rank(), dist.get_world_size()
    group = dist.new_group(backend="ring")
    if rank != 0:
        assert isinstance(group, dist.ProcessGroup)
        small = dist.shrink_group([0], group=group)
        assert sum_of_ranks(small, rank) == sum(range(1, size))
        dist.destroy_process_group(small)
    return sum_of_ranks(None, rank)


def split() -> tuple[float, float]:
    """torch's split_group wants an accelerator; this is what it calls then, on every rank."""
    rank, size = dist.get_rank(), dist.get_world_size()
    world: Any = dist.group.WORLD
    backend: Any = world._get_backend(torch.device("cpu"))
    assert backend.supports_splitting
    sums = []
    for name in ("first", "second"):
        parts = [list(range(0, size, 2)), list(range(1, size, 2))]
        mine = parts[rank % 2]
        part = world.split_group(mine, opts=backend.options, group_name=name, group_desc="half")
        assert part.size() == len(mine) and part.rank() == mine.index(rank)
        tensor = torch.full((10,), float(rank))
        part.allreduce([tensor]).wait()
        sums.append(float(tensor[0]))
    outside = world.split_group([size - 1], opts=backend.options, group_name="last", group_desc="last")
    assert (outside is None) == (rank != size - 1)
    return sums[0], sums[1]


@pytest.mark.parametrize("flags", [SHRINK_DEFAULT, SHRINK_ABORT], ids=["default", "abort"])
@pytest.mark.parametrize("layout", ["1x3", "3x1", "2+1"])
def test_shrink(launch: Callable[..., Job], layout: str, flags: int) -> None:
    job = launch(layout).init()
    assert job.run(shrink_default_group, flags) == [(0, 2, 2.0), None, (1, 2, 2.0)]


@pytest.mark.parametrize("layout", ["1x4", "4x1", "2x2"])
def test_shrink_after_a_death(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init()
    pending = job.submit(shrink_after_a_death, ranks=[0, 1, 3])
    job.kill(2)
    assert pending.values() == [(3, 4.0)] * 3


@pytest.mark.parametrize("layout", ["1x3", "2+1"])
def test_shrink_a_subgroup(launch: Callable[..., Job], layout: str) -> None:
    # In a job of its own: from torch 2.14 on, the rank that is left out counts one group less, and what it
    # would make with the others next has another name there.
    assert launch(layout).init().run(shrink_a_subgroup) == [3.0] * 3


@pytest.mark.parametrize("layout", ["1x4", "2x2", "2+1"])
def test_split(pools: Pools, layout: str) -> None:
    job = pools.get(layout)
    even, odd = (float(sum(range(first, job.layout.world_size, 2))) for first in (0, 1))
    expected = [(odd, odd) if rank % 2 else (even, even) for rank in job.layout.ranks]
    assert job.run(split) == expected
