"""Tensors of one call that share memory: all are read as they were before it, and the last one stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import _coalescing_manager

from harness import Pools

SIZES = (4, 30_000)  # goes in the thread that calls, and does not


def parts_of(whole: torch.Tensor, n: int) -> list[torch.Tensor]:
    return list(whole.view(-1, n))


def total_of(size: int) -> float:
    return float(sum(range(1, size + 1)))


def sum_shared_memory(n: int) -> None:
    mine, total = dist.get_rank() + 1.0, total_of(dist.get_world_size())
    x = torch.full((n,), mine)
    dist.all_reduce_coalesced([x, x, torch.ones(n), x])
    assert torch.equal(x, torch.full((n,), total))

    whole = torch.arange(n + 2.0) * mine
    dist.all_reduce_coalesced([whole[:-2], whole[2:]])
    assert torch.equal(whole, torch.arange(n + 2.0) * total)

    matrix = torch.arange(2.0 * n).view(2, n) * mine
    dist.all_reduce_coalesced([matrix, matrix.t()])
    assert torch.equal(matrix, torch.arange(2.0 * n).view(2, n) * total)

    apart = torch.arange(2.0 * n) * mine  # neighbours are no overlap
    with _coalescing_manager(async_ops=True) as manager:
        dist.all_reduce(apart[:n])
        dist.all_reduce(apart[n:])
        dist.all_reduce(x)
        dist.all_reduce(x)
    manager.wait()
    assert torch.equal(apart, torch.arange(2.0 * n) * total)
    assert torch.equal(x, torch.full((n,), total * dist.get_world_size()))


def gather_shared_memory(n: int) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    everybody = torch.arange(float(size)).repeat_interleave(n)

    one = torch.zeros(n)
    dist.all_gather([one] * size, torch.full((n,), float(rank)))
    assert torch.equal(one, torch.full((n,), size - 1.0))

    for place in range(size):  # where the own share lies before the call: at home, or in another's place
        whole = torch.full((size * n,), -1.0)
        mine = whole[place * n : (place + 1) * n].fill_(float(rank))
        dist.all_gather_into_tensor(whole, mine)
        assert torch.equal(whole, everybody)
        mine.fill_(float(rank))
        dist.all_gather(parts_of(whole, n), mine)
        assert torch.equal(whole, everybody)
        mine.fill_(float(rank))
        dist.gather(mine, parts_of(whole, n) if rank == size - 1 else None, size - 1)
        assert rank != size - 1 or torch.equal(whole, everybody)

    two = [torch.zeros(size * n), torch.zeros(size * n)]
    with _coalescing_manager():  # the second reads where the first one writes
        for place, whole in enumerate(two):
            source = two[0][:n].fill_(float(rank)) if place == 1 else torch.full((n,), 10.0 + rank)
            dist.all_gather_into_tensor(whole, source)
    assert torch.equal(two[0], 10 + everybody)
    assert torch.equal(two[1], everybody)


def scatter_shared_memory(n: int) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    parts = torch.arange(float(size)).repeat_interleave(n)
    for place in range(size):
        whole = parts + 0
        output = whole[place * n : (place + 1) * n]
        dist.reduce_scatter_tensor(output, whole)
        assert torch.equal(output, torch.full((n,), float(size * rank)))

        whole = parts + 0
        output = whole[place * n : (place + 1) * n]
        dist.reduce_scatter(output, parts_of(whole, n))
        assert torch.equal(output, torch.full((n,), float(size * rank)))

        whole = parts + 0
        output = whole[place * n : (place + 1) * n]
        dist.scatter(output, parts_of(whole, n) if rank == 0 else None, 0)
        assert torch.equal(output, torch.full((n,), float(rank)))


def exchange_shared_memory(n: int) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    expected = torch.arange(float(size)).repeat_interleave(n) * 10 + rank
    whole = (torch.arange(float(size)) + 10 * rank).repeat_interleave(n)
    dist.all_to_all_single(whole, whole)
    assert torch.equal(whole, expected)

    whole = (torch.arange(float(size)) + 10 * rank).repeat_interleave(n)
    dist.all_to_all(parts_of(whole, n), parts_of(whole, n))
    assert torch.equal(whole, expected)


@pytest.mark.parametrize(
    "call", [sum_shared_memory, gather_shared_memory, scatter_shared_memory, exchange_shared_memory]
)
@pytest.mark.parametrize("layout", ["1x2", "1x4", "2x2"])
def test_shared_memory(pools: Pools, layout: str, call: Callable[[int], None]) -> None:
    for n in SIZES:
        pools.get(layout).run(call, n)
