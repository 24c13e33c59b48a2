"""What groups take of a process: bounded for each, whatever its size, and given back at its end."""

from __future__ import annotations

import math
import os
from dataclasses import astuple, dataclass
from functools import reduce

import pytest
import torch
import torch.distributed as dist

from harness import Pools
from harness.layout import Layout
from harness.proc import Footprint

ALIVE = 100
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Growth:
    threads: int
    descriptors: int
    mappings: int
    resident: int

    @classmethod
    def between(cls, before: Footprint, after: Footprint) -> Growth:
        return cls(
            after.threads - before.threads,
            after.descriptors - before.descriptors,
            after.mappings - before.mappings,
            after.resident - before.resident,
        )

    def most(self, other: Growth) -> Growth:
        return Growth(*(max(pair) for pair in zip(astuple(self), astuple(other), strict=True)))


def use(group: dist.ProcessGroup | None) -> None:
    tensor = torch.ones(100)
    dist.all_reduce(tensor, group=group)
    assert int(tensor[-1]) == dist.get_world_size()


def keep_alive(times: int) -> Growth:
    """What so many groups, all alive and in use, have added to this rank."""
    use(None)
    before = Footprint.of(os.getpid())
    groups = [dist.new_group() for _ in range(times)]
    for _ in range(2):
        for group in groups:
            use(group)
    after = Footprint.of(os.getpid())
    dist.barrier()  # nobody's measurement sees the others leave
    for group in groups:
        dist.destroy_process_group(group)
    return Growth.between(before, after)


def come_and_go(times: int, with_messages: bool = False) -> Growth:
    """What is left of so many groups, after a few that warm up what a process has once."""
    before = Footprint.of(os.getpid())
    for number in range(times + times // 5):
        if number == times // 5:
            dist.barrier()
            before = Footprint.of(os.getpid())
        group = dist.new_group()
        use(group)
        if with_messages:
            circulate(group)
        dist.destroy_process_group(group)
    dist.barrier()
    return Growth.between(before, Footprint.of(os.getpid()))


def circulate(group: dist.ProcessGroup) -> None:
    """From each rank to the next: between hosts this opens connections that collectives do not need."""
    rank, size = dist.get_rank(), dist.get_world_size()
    work = dist.isend(torch.ones(10_000), dst=(rank + 1) % size, group=group)
    dist.recv(torch.ones(10_000), src=(rank - 1) % size, group=group)
    assert work is not None
    work.wait()


def most_of(growths: list[Growth]) -> Growth:
    return reduce(Growth.most, growths)


@pytest.mark.parametrize("layout", ["1x2", "1x4", "1x8"])
def test_many_groups_on_one_host(pools: Pools, layout: str) -> None:
    """The same for 2 ranks and for 8: no thread at all, nothing for each pair of ranks."""
    growth = most_of(pools.get(layout).run(keep_alive, ALIVE, deadline=60))
    assert growth.threads <= 1, "the progress thread, where there was none yet"
    assert growth.descriptors <= 2 * ALIVE + 5
    assert growth.mappings <= ALIVE + 10


@pytest.mark.parametrize("layout", ["2x1", "2x2", "4x1", "8x1"])
def test_many_groups_on_several_hosts(pools: Pools, layout: str) -> None:
    """Two sockets to each host that this one talks to: its neighbours, and those at powers of two from it."""
    times = ALIVE // 4
    growth = most_of(pools.get(layout).run(keep_alive, times, deadline=60))
    partners = 1 + math.ceil(math.log2(Layout.parse(layout).hosts))
    assert growth.threads <= 1
    assert growth.descriptors <= (2 + 2 * partners) * times + 5
    assert growth.mappings <= times + 10


@pytest.mark.parametrize(
    ("layout", "times", "with_messages"),
    [("1x2", 1000, False), ("1x3", 100, True), ("2x1", 60, False), ("2+1", 15, True)],
)
def test_groups_that_come_and_go(pools: Pools, layout: str, times: int, with_messages: bool) -> None:
    left = most_of(pools.get(layout).run(come_and_go, times, with_messages, deadline=60))
    assert left.threads <= 0
    assert left.descriptors <= 0
    assert left.mappings <= 5, "the allocator's, not those of groups"
    assert left.resident < MEBIBYTE
