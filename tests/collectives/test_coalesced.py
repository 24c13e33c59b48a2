"""Coalesced collectives, sparse tensors, uneven shares, the functional collectives (torch.compile too)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch.distributed.distributed_c10d import _coalescing_manager

from harness import Pools

LAYOUTS = ("1x2", "1x4", "4x1", "2x2", "2+1")


def coalesce(with_device: bool) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    device = torch.device("cpu") if with_device else None
    total = float(sum(range(size)))
    tensors = [torch.full((n,), float(rank + n)) for n in (1, 1000, 70_001)]
    with _coalescing_manager(device=device, async_ops=True) as manager:
        for tensor in tensors:
            dist.all_reduce(tensor)
    manager.wait()
    for tensor in tensors:
        assert torch.equal(tensor, torch.full_like(tensor, total + size * tensor.numel()))

    shares = [torch.full((n,), float(rank)) for n in (3, 5000)]
    wholes = [torch.empty(size * share.numel()) for share in shares]
    with _coalescing_manager(device=device):
        for whole, share in zip(wholes, shares, strict=True):
            dist.all_gather_into_tensor(whole, share)
    for whole, share in zip(wholes, shares, strict=True):
        assert torch.equal(whole, torch.arange(float(size)).repeat_interleave(share.numel()))

    with _coalescing_manager(device=device):
        for share, whole in zip(shares, wholes, strict=True):
            dist.reduce_scatter_tensor(share, whole)
    for share in shares:
        assert torch.equal(share, torch.full_like(share, float(rank * size)))


def gather_uneven() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for base in (0, 1, 3000, 200_000):
        sizes = [base * (1 + other % 3) if other % 2 else 0 for other in range(size)]
        outputs = [torch.zeros(n, dtype=torch.int32) for n in sizes]
        dist.all_gather(outputs, torch.full((sizes[rank],), rank, dtype=torch.int32))
        for other, output in enumerate(outputs):
            assert torch.equal(output, torch.full((sizes[other],), other, dtype=torch.int32))


def reduce_sparse() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for shape, sparse_dims in (((50,), 1), ((20, 3), 1), ((20, 30), 2)):
        dense = torch.zeros(shape)
        dense[rank :: size + 1] = rank + 1.0  # rank 3 of 4 has one element less than the others
        expected = torch.zeros(shape)
        for other in range(size):
            expected[other :: size + 1] += other + 1.0
        work = dist.all_reduce(sparse := dense.to_sparse(sparse_dims), async_op=True)
        assert work is not None
        work.wait()
        assert sparse.is_sparse and torch.equal(sparse.to_dense(), expected)
    empty = torch.zeros(4).to_sparse()
    dist.all_reduce(empty)
    assert torch.equal(empty.to_dense(), torch.zeros(4))
    with pytest.raises(NotImplementedError, match="SUM"):
        dist.all_reduce(torch.ones(4).to_sparse(), op=dist.ReduceOp.MAX)


def call_functional(compiled: bool) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    group = dist.group.WORLD
    assert group is not None

    def step(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        summed = functional.all_reduce(x, "sum", group)
        averaged = functional.all_reduce(x, "avg", group)
        gathered = functional.all_gather_tensor(x, 0, group)
        scattered = functional.reduce_scatter_tensor(gathered, "sum", 0, group)
        exchanged = functional.all_to_all_single(gathered, None, None, group)
        return summed + 0, averaged + 0, gathered + 0, scattered + 0, exchanged + 0

    run = torch.compile(step, backend="aot_eager", fullgraph=True) if compiled else step
    results = run(torch.full((4,), float(rank)))
    total = float(sum(range(size)))
    everybody = torch.arange(float(size)).repeat_interleave(4)
    expected = (
        torch.full((4,), total),
        torch.full((4,), total / size),
        everybody,
        torch.full((4,), float(rank * size)),
        torch.full((4 * size,), float(rank)),
    )
    for result, wanted in zip(results, expected, strict=True):
        assert torch.equal(result, wanted), (result, wanted)


def be_monitored() -> None:
    group: Any = dist.group.WORLD  # torch's stubs lack the method
    group.monitored_barrier()
    group.monitored_barrier(wait_all_ranks=True)


@pytest.mark.parametrize("with_device", [False, True], ids=["by_kind", "by_device"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_coalesced(pools: Pools, layout: str, with_device: bool) -> None:
    pools.get(layout).run(coalesce, with_device)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_gather_of_uneven_sizes(pools: Pools, layout: str) -> None:
    pools.get(layout).run(gather_uneven)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sparse_all_reduce(pools: Pools, layout: str) -> None:
    pools.get(layout).run(reduce_sparse)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_functional(pools: Pools, layout: str, compiled: bool) -> None:
    pools.get(layout).run(call_functional, compiled, deadline=90)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_monitored_barrier(pools: Pools, layout: str) -> None:
    pools.get(layout).run(be_monitored)
