"""Complex numbers, 8-bit floats, PREMUL_SUM, lazily conjugated views; and what makes no sense is named."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.distributed as dist

from harness import Pools
from support.tensors import DTYPES, OPS, makes_sense
from torch_ring import RingConfigError
from torch_ring._backend import load

LAYOUTS = ("1x2", "2x1", "2+1")
COMPLEX = (torch.complex64, torch.complex128)
FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
# torch has no arithmetic for these, and nobody else's all_reduce has either: they can be moved.
MOVED_ONLY = (torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu)


def test_the_tests_know_what_libring_knows() -> None:
    float8 = [str(dtype).removeprefix("torch.") for dtype in FLOAT8]
    assert {*DTYPES, *float8} == set(load().dtypes())
    assert {*OPS, "PREMUL_SUM"} == set(load().reduce_ops())
    for dtype, op in itertools.product(DTYPES, OPS):
        assert makes_sense(dtype, op) == load().reduces(dtype, op), (dtype, op)


def mine(dtype: torch.dtype, rank: int, numel: int = 5000) -> torch.Tensor:
    """Small whole numbers, so that every sum is exact in every dtype here."""
    numbers = torch.arange(numel) % 2 + rank % 2
    if dtype.is_complex:
        return torch.complex(numbers.double(), -2.0 * numbers.double()).to(dtype)
    return numbers.to(dtype)


def plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.resolve_conj() if tensor.is_complex() else tensor.double()


def sums(dtype: torch.dtype) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    total = sum(plain(mine(dtype, each)) for each in range(size))
    assert isinstance(total, torch.Tensor)

    tensor = mine(dtype, rank)
    dist.all_reduce(tensor)
    assert torch.equal(plain(tensor), total)
    averaged = mine(dtype, rank)
    dist.all_reduce(averaged, op=dist.ReduceOp.AVG)
    torch.testing.assert_close(plain(averaged), total / size, rtol=0.13 if dtype in FLOAT8 else 1e-6, atol=0)

    for root in range(size):
        tensor = mine(dtype, rank)
        dist.reduce(tensor, dst=root)
        assert torch.equal(plain(tensor), total if rank == root else plain(mine(dtype, rank)))

    share = torch.empty(5000, dtype=dtype)
    dist.reduce_scatter(share, [mine(dtype, rank) for _ in range(size)])
    assert torch.equal(plain(share), total)
    share.zero_()
    dist.reduce_scatter_tensor(share, torch.cat([mine(dtype, rank)] * size))
    assert torch.equal(plain(share), total)


def moves(dtype: torch.dtype) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    following, before = (rank + 1) % size, (rank - 1) % size
    whole = torch.empty(5000 * size, dtype=dtype)
    dist.all_gather_into_tensor(whole, mine(dtype, rank))
    for other, part in enumerate(whole.chunk(size)):
        assert torch.equal(part.view(torch.uint8), mine(dtype, other).view(torch.uint8))
    tensor = mine(dtype, rank)
    dist.broadcast(tensor, src=size - 1)
    assert torch.equal(tensor.view(torch.uint8), mine(dtype, size - 1).view(torch.uint8))
    work = dist.isend(mine(dtype, rank), dst=following)
    dist.recv(tensor, src=before)
    assert work is not None
    work.wait()
    assert torch.equal(tensor.view(torch.uint8), mine(dtype, before).view(torch.uint8))


def premultiply(by_tensor: bool) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    factor = torch.tensor([0.5]) if by_tensor else 0.5
    op = dist._make_nccl_premul_sum(factor)  # type: ignore[attr-defined]
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64):
        total = sum(plain(mine(dtype, each)) for each in range(size)) * 0.5
        assert isinstance(total, torch.Tensor)
        tensor = mine(dtype, rank)
        dist.all_reduce(tensor, op=op)
        assert torch.equal(plain(tensor), total)
        strided = torch.zeros(5000, 2, dtype=dtype)
        strided[:, 1] = mine(dtype, rank)
        dist.all_reduce(strided[:, 1], op=op)
        assert torch.equal(plain(strided[:, 1]), total) and not strided[:, 0].any()
        tensor = mine(dtype, rank)
        dist.reduce(tensor, dst=0, op=op)
        assert torch.equal(plain(tensor), plain(mine(dtype, rank)) if rank else total)
        share = torch.empty(5000, dtype=dtype)
        given = torch.cat([mine(dtype, rank)] * size)
        dist.reduce_scatter_tensor(share, given, op=op)
        assert torch.equal(plain(share), total)
        assert torch.equal(given, torch.cat([mine(dtype, rank)] * size)), "an input was changed"


def conjugated() -> None:
    """A lazily conjugated or negated view holds other numbers than its memory."""
    size = dist.get_world_size()
    memory = torch.complex(torch.ones(100), torch.full((100,), 2.0))
    gathered = torch.empty(100 * size)
    dist.all_gather_into_tensor(gathered, memory.conj().imag)
    assert torch.equal(gathered, torch.full((100 * size,), -2.0))
    share = torch.empty(100, dtype=torch.complex64)
    dist.reduce_scatter_tensor(share, torch.cat([memory] * size).conj())
    assert torch.equal(share, memory.conj() * size)


def refuse_nonsense() -> None:
    """Every pair that makes no sense, and those of dtypes without arithmetic, by name; the group goes on."""
    size = dist.get_world_size()
    for dtype, op in itertools.product(DTYPES, OPS):
        if makes_sense(dtype, op):
            continue
        tensor = torch.ones(3).to(getattr(torch, dtype))
        reduce_op = getattr(dist.ReduceOp, op)
        with pytest.raises(RingConfigError, match=f"{op} is not defined"):
            dist.all_reduce(tensor, op=reduce_op)
        with pytest.raises(RingConfigError, match=f"{op} is not defined"):
            dist.reduce(tensor, 0, op=reduce_op)
        with pytest.raises(RingConfigError, match=f"{op} is not defined"):
            dist.reduce_scatter(tensor, [tensor] * size, op=reduce_op)
    half = dist._make_nccl_premul_sum(0.5)  # type: ignore[attr-defined]
    for wrong in (torch.ones(3, dtype=torch.int64), torch.ones(3, dtype=torch.bool)):
        with pytest.raises(RingConfigError, match="PREMUL_SUM is not defined"):
            dist.all_reduce(wrong, op=half)
    for unknown in MOVED_ONLY:
        with pytest.raises(TypeError, match=r"cannot reduce tensors of dtype .* by SUM"):
            dist.all_reduce(torch.zeros(3, dtype=torch.uint8).view(unknown))
    with pytest.raises(TypeError, match="ComplexFloat by PRODUCT"):
        dist.reduce(torch.ones(3, dtype=torch.complex64), 0, op=dist.ReduceOp.PRODUCT)
    dist.all_reduce(total := torch.ones(1))
    assert int(total) == size


@pytest.mark.parametrize("dtype", [*COMPLEX, *FLOAT8], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums(pools: Pools, layout: str, dtype: torch.dtype) -> None:
    pools.get(layout).run(sums, dtype)


@pytest.mark.parametrize("dtype", [*COMPLEX, torch.complex32, *FLOAT8, *MOVED_ONLY], ids=str)
def test_moves(pools: Pools, dtype: torch.dtype) -> None:
    pools.get("2+1").run(moves, dtype)


@pytest.mark.parametrize("by_tensor", [False, True], ids=["number", "tensor"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_premul_sum(pools: Pools, layout: str, by_tensor: bool) -> None:
    pools.get(layout).run(premultiply, by_tensor)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_conjugated_and_negated_views(pools: Pools, layout: str) -> None:
    pools.get(layout).run(conjugated)


def test_nonsense_is_refused(pools: Pools) -> None:
    pools.get("2+1").run(refuse_nonsense)
