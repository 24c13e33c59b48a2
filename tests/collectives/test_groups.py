"""Groups: subsets of the ranks, two at once, and a new start after the end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from harness import BACKEND, Job, Pools, init_group
from harness.worker import destroy_group
from torch._C._distributed_c10d import PrefixStore, TCPStore

LAYOUTS = ("1x4", "4x1", "2x2", "3x2")


def reduce_in_subsets() -> None:
    """Halves, interleaved halves, pairs that overlap, and groups of one."""
    rank, size = dist.get_rank(), dist.get_world_size()
    everyone = list(range(size))
    subsets = [everyone[: size // 2], everyone[size // 2 :], everyone[::2], everyone[1::2]]
    subsets += [[first, first + 1] for first in range(size - 1)] + [[0, size - 1], [size - 1]]
    for members in subsets:
        group = dist.new_group(members)
        if rank in members:
            tensor = torch.full((1000,), float(rank))
            dist.all_reduce(tensor, group=group)
            assert torch.equal(tensor, torch.full_like(tensor, float(sum(members))))
            dist.broadcast(tensor, src=members[-1], group=group)
            gathered = [torch.empty(1, dtype=torch.int64) for _ in members]
            dist.all_gather(gathered, torch.tensor([rank]), group=group)
            assert [int(each) for each in gathered] == members
            dist.destroy_process_group(group)
    total = torch.ones(1)
    dist.all_reduce(total)
    assert int(total) == size


def interleave_two_groups() -> None:
    """Each group has its own order of calls: half of the ranks go to one group first, half to the other."""
    rank, size = dist.get_rank(), dist.get_world_size()
    groups = [dist.new_group(list(range(size))) for _ in range(2)]
    for number in range(30):
        tensors = [torch.full((5000,), float(rank + number * (which + 1))) for which in range(2)]
        order = (0, 1) if rank % 2 else (1, 0)
        works = {
            which: dist.all_reduce(tensors[which], group=groups[which], async_op=True) for which in order
        }
        for which in reversed(order):
            works[which].wait()
            expected = float(sum(range(size)) + size * number * (which + 1))
            assert torch.equal(tensors[which], torch.full_like(tensors[which], expected))
    for group in groups:
        dist.destroy_process_group(group)


def sum_of_ranks() -> float:
    tensor = torch.full((100_000,), float(dist.get_rank()))
    dist.all_reduce(tensor)
    return float(tensor[-1])


def start_again(times: int, same_store: bool) -> list[float]:
    sums = []
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    for number in range(times):
        if same_store:
            init_group()
        else:
            fresh = PrefixStore(f"start {number}", store)
            dist.init_process_group(BACKEND, store=fresh, rank=rank, world_size=size)
        sums.append(sum_of_ranks())
        destroy_group()
    return sums


@pytest.mark.parametrize("layout", LAYOUTS)
def test_subsets(pools: Pools, layout: str) -> None:
    pools.get(layout).run(reduce_in_subsets)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_groups_interleaved(pools: Pools, layout: str) -> None:
    pools.get(layout).run(interleave_two_groups)


@pytest.mark.parametrize("same_store", [False, True], ids=["fresh_store", "same_store"])
@pytest.mark.parametrize("layout", ["1x2", "2+1", "3x1"])
def test_a_new_start_after_destroy(launch: Callable[..., Job], layout: str, same_store: bool) -> None:
    """Under torchrun the store is the same, so that the first group's keys are still in it."""
    job = launch(layout)
    total = float(sum(job.layout.ranks))
    assert job.run(start_again, 3, same_store, deadline=15) == [[total] * 3] * job.layout.world_size
