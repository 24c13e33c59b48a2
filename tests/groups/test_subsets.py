"""Groups of any subset of the ranks: one after another, overlapping, interleaved, used late."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.distributed as dist

from harness import Pools

LAYOUTS = ("1x4", "4x1", "2x2", "3x2")


def check_sum(group: dist.ProcessGroup | None, members: list[int], numel: int = 1000) -> None:
    """An all_reduce in the group sums over just its members."""
    tensor = torch.full((numel,), float(dist.get_rank()))
    dist.all_reduce(tensor, group=group)
    assert torch.equal(tensor, torch.full_like(tensor, float(sum(members))))


def reduce_in_subsets() -> None:
    """Halves, interleaved halves, pairs that overlap, and groups of one."""
    rank, size = dist.get_rank(), dist.get_world_size()
    everyone = list(range(size))
    subsets = [everyone[: size // 2], everyone[size // 2 :], everyone[::2], everyone[1::2]]
    subsets += [[first, first + 1] for first in range(size - 1)] + [[0, size - 1], [size - 1]]
    for members in subsets:
        group = dist.new_group(members)
        if rank in members:
            check_sum(group, members)
            tensor = torch.full((1000,), float(rank))
            dist.broadcast(tensor, src=members[-1], group=group)
            assert torch.equal(tensor, torch.full_like(tensor, float(members[-1])))
            gathered = [torch.empty(1, dtype=torch.int64) for _ in members]
            dist.all_gather(gathered, torch.tensor([rank]), group=group)
            assert [int(each) for each in gathered] == members
            dist.destroy_process_group(group)
    check_sum(None, everyone)


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


def draw_subsets(times: int, seed: int) -> int:
    """Random subsets, some kept for a while beside the others; returns how many this rank was a member of."""
    rank, size = dist.get_rank(), dist.get_world_size()
    draw = random.Random(seed)
    alive: list[tuple[list[int], dist.ProcessGroup]] = []
    joined = 0
    for number in range(times):
        members = sorted(draw.sample(range(size), draw.randint(1, size)))
        group = dist.new_group(members)
        if rank in members:
            assert isinstance(group, dist.ProcessGroup)
            alive.append((members, group))
            joined += 1
        # The same on all members, whatever else each of them keeps.
        for kept in [each for each in alive if sum(each[0]) % 7 == number % 7]:
            check_sum(kept[1], kept[0], numel=100)
            dist.destroy_process_group(kept[1])
            alive.remove(kept)
    for members, group in alive:
        check_sum(group, members, numel=100)
        dist.destroy_process_group(group)
    check_sum(None, list(range(size)))
    return joined


def use_late() -> None:
    """Some are first used when others have been used a lot, in another order than made; some never."""
    size = dist.get_world_size()
    everyone = list(range(size))
    groups = [dist.new_group() for _ in range(6)]
    for _ in range(50):
        check_sum(groups[0], everyone)
        check_sum(None, everyone)
    for which in (4, 1, 3):
        check_sum(groups[which], everyone)
    for which in (2, 4, 0, 5, 3, 1):
        dist.destroy_process_group(groups[which])
    check_sum(None, everyone)


def divide_until_alone() -> None:
    """Groups of one have one name: each half of the ranks counts its own."""
    size = dist.get_world_size()
    everyone = list(range(size))
    untyped: Any = dist
    half, halves = untyped.new_subgroups_by_enumeration([everyone[::2], everyone[1::2]])
    alone, parts = untyped.new_subgroups(group_size=1, group=half)
    assert len(parts) == size // 2 and alone.size() == 1
    check_sum(alone, [dist.get_rank()])
    check_sum(half, everyone[dist.get_rank() % 2 :: 2])
    for group in (*parts, *halves):
        dist.destroy_process_group(group)
    check_sum(None, everyone)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_subsets(pools: Pools, layout: str) -> None:
    pools.get(layout).run(reduce_in_subsets)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_groups_interleaved(pools: Pools, layout: str) -> None:
    pools.get(layout).run(interleave_two_groups)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups_of_one_in_groups(pools: Pools, layout: str) -> None:
    pools.get(layout).run(divide_until_alone)


@pytest.mark.parametrize(("layout", "times"), [("1x4", 200), ("2+1", 100)])
def test_hundreds_of_random_subsets(pools: Pools, layout: str, times: int) -> None:
    joined = pools.get(layout).run(draw_subsets, times, seed=7)
    assert min(joined) > times // 4, "the draw leaves a rank out"


@pytest.mark.parametrize("layout", ["1x3", "2+1"])
def test_groups_that_are_used_late_or_never(pools: Pools, layout: str) -> None:
    pools.get(layout).run(use_late)
