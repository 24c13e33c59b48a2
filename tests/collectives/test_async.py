"""async_op=True: several calls in flight, waited for in any order, and their futures."""

from __future__ import annotations

import random
import time

import pytest
import torch
import torch.distributed as dist

from harness import Pools

LAYOUTS = ("1x2", "1x4", "4x1", "2+1")


def wait_out_of_order(seed: int) -> None:
    """Collectives of different kinds and sizes, all in flight; each rank waits in an order of its own."""
    rank, size = dist.get_rank(), dist.get_world_size()
    calls: list[tuple[dist.Work, torch.Tensor, torch.Tensor]] = []
    for number in range(12):
        numel = [1, 1000, 70_001][number % 3]
        mine = torch.full((numel,), float(rank + number))
        total = float(sum(range(size)) + size * number)
        match number % 4:
            case 0:
                work = dist.all_reduce(mine, async_op=True)
                calls.append((work, mine, torch.full_like(mine, total)))
            case 1:
                root = number % size
                work = dist.broadcast(mine, src=root, async_op=True)
                calls.append((work, mine, torch.full_like(mine, float(root + number))))
            case 2:
                gathered = torch.empty(size, numel)
                work = dist.all_gather_into_tensor(gathered, mine, async_op=True)
                column = torch.arange(size, dtype=torch.float32).view(-1, 1) + number
                calls.append((work, gathered, column.expand(size, numel)))
            case 3:
                part = torch.empty(numel)
                work = dist.reduce_scatter_tensor(part, mine.repeat(size), async_op=True)
                calls.append((work, part, torch.full_like(part, total)))
    random.Random(seed + rank).shuffle(calls)
    for work, result, expected in calls:
        work.wait()
        assert work.is_completed()
        assert torch.equal(result, expected)


def complete_without_waiting() -> None:
    """Nobody waits: the group's own thread has to bring it to its end."""
    tensor = torch.full((50_000,), float(dist.get_rank()))
    work = dist.all_reduce(tensor, async_op=True)
    deadline = time.monotonic() + 10
    while not work.is_completed():
        assert time.monotonic() < deadline, "the call does not complete by itself"
        time.sleep(0.001)
    assert tensor[-1] == sum(range(dist.get_world_size()))


def use_futures() -> None:
    size = dist.get_world_size()
    total = float(sum(range(size)))
    tensor = torch.full((1000,), float(dist.get_rank()))
    future = dist.all_reduce(tensor, async_op=True).get_future()
    halved = future.then(lambda done: done.value()[0] / 2)
    shifted = halved.then(lambda done: done.value() + 1)
    assert torch.equal(shifted.wait(), torch.full((1000,), total / 2 + 1))
    assert future.done() and torch.equal(future.wait()[0], tensor)
    late = future.then(lambda done: float(done.value()[0][0]))
    assert late.wait() == total

    gathered = torch.empty(size, 3)
    future = dist.all_gather_into_tensor(gathered, torch.full((3,), 5.0), async_op=True).get_future()
    future.wait()
    assert torch.equal(gathered, torch.full((size, 3), 5.0))


def drop_works() -> None:
    """A program that lets go of its work objects must not take the calls' memory with it."""
    kept = []
    for number in range(20):
        tensor = torch.full((10_000,), float(number))
        dist.all_reduce(tensor, async_op=True)
        kept.append(tensor) if number % 2 else None
    dist.barrier()
    for tensor, number in zip(kept, range(1, 20, 2), strict=True):
        assert torch.equal(tensor, torch.full_like(tensor, float(number * dist.get_world_size())))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_waiting_out_of_order(pools: Pools, layout: str, seed: int) -> None:
    pools.get(layout).run(wait_out_of_order, seed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_call_completes_without_being_waited_for(pools: Pools, layout: str) -> None:
    pools.get(layout).run(complete_without_waiting)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_futures(pools: Pools, layout: str) -> None:
    pools.get(layout).run(use_futures)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dropped_works(pools: Pools, layout: str) -> None:
    pools.get(layout).run(drop_works)
