"""reduce_scatter and reduce_scatter_tensor: rank r ends with the reduction of everybody's part r."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Pools
from harness.layout import LAYOUTS, Layout
from support.strategies import CASES, Case
from support.tensors import DTYPES, FORMS, OPS, check_equal, check_reduction, hold, makes_sense, values


def scatter_list(case: Case, op: str, output_form: str) -> None:
    mine = [hold(_part(case, op, dist.get_rank(), part), case.form) for part in case.ranks]
    output = hold(torch.zeros(case.numel, dtype=mine[0].tensor.dtype), output_form)
    dist.reduce_scatter(output.tensor, [part.tensor for part in mine], op=getattr(dist.ReduceOp, op))
    output.check_gaps()
    _check(output.tensor, case, op)
    for part, kept in enumerate(mine):
        check_equal(kept.tensor, _part(case, op, dist.get_rank(), part))


def scatter_tensor(case: Case, op: str, output_form: str) -> None:
    mine = torch.cat([_part(case, op, dist.get_rank(), part) for part in case.ranks])
    output = hold(torch.zeros(case.numel, dtype=mine.dtype), output_form)
    kept = hold(mine, case.form)
    dist.reduce_scatter_tensor(output.tensor, kept.tensor, op=getattr(dist.ReduceOp, op))
    output.check_gaps()
    _check(output.tensor, case, op)
    check_equal(kept.tensor, mine)


def scatter_every_pair(layout: str) -> None:
    for dtype in DTYPES:
        for op in OPS:
            if makes_sense(dtype, op):
                scatter_list(Case(layout, dtype, 101), op, "contiguous")
                scatter_tensor(Case(layout, dtype, 101), op, "contiguous")


def scatter_uneven(base: int, op: str) -> None:
    """Parts of 0, 1, 2, ... elements, or many, one after the other and apart."""
    rank, size = dist.get_rank(), dist.get_world_size()
    sizes = [base * part for part in range(size)]
    parts = [torch.full((n,), float(10 * rank + part + 1)) for part, n in enumerate(sizes)]
    gives = [float(10 * other + rank + 1) for other in range(size)]
    expected = {"SUM": sum(gives), "AVG": sum(gives) / size, "MAX": max(gives)}[op]
    for inputs in (parts, list(torch.split(torch.cat(parts), sizes))):
        output = torch.zeros(sizes[rank])
        work = dist.reduce_scatter(output, inputs, op=getattr(dist.ReduceOp, op), async_op=base > 1)
        if work is not None:
            work.wait()
        assert torch.equal(output, torch.full((sizes[rank],), expected))
        assert torch.equal(torch.cat(inputs), torch.cat(parts))
    complex_parts = [torch.complex(part, part) for part in parts]
    output = torch.zeros(sizes[rank], dtype=torch.complex64)
    dist.reduce_scatter(output, complex_parts)
    assert torch.equal(output, torch.full_like(output, complex(sum(gives), sum(gives))))


def _part(case: Case, op: str, rank: int, part: int) -> torch.Tensor:
    """What `rank` gives to `part`."""
    return values(case.dtype, case.numel, seed=case.seed + part, rank=rank, world_size=case.world_size, op=op)


def _check(result: torch.Tensor, case: Case, op: str) -> None:
    inputs = [_part(case, op, rank, dist.get_rank()) for rank in case.ranks]
    check_reduction(result, inputs, op, Layout.parse(case.layout))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype_and_op(pools: Pools, layout: str) -> None:
    pools.get(layout).run(scatter_every_pair, layout)


@settings(max_examples=120)
@given(case=CASES, op=st.sampled_from(OPS), output_form=st.sampled_from(FORMS))
def test_lists_of_any_size_and_memory_layout(pools: Pools, case: Case, op: str, output_form: str) -> None:
    if makes_sense(case.dtype, op):
        pools.get(case.layout).run(scatter_list, case, op, output_form)


@settings(max_examples=120)
@given(case=CASES, op=st.sampled_from(OPS), output_form=st.sampled_from(FORMS))
def test_tensors_of_any_size_and_memory_layout(pools: Pools, case: Case, op: str, output_form: str) -> None:
    if makes_sense(case.dtype, op):
        pools.get(case.layout).run(scatter_tensor, case, op, output_form)


@pytest.mark.parametrize("layout", ["1x4", "4x1", "2+1"])
def test_megabytes(pools: Pools, layout: str) -> None:
    pools.get(layout).run(scatter_tensor, Case(layout, "float32", 400_003), "SUM", "contiguous")


@pytest.mark.parametrize("op", ["SUM", "AVG", "MAX"])
@pytest.mark.parametrize("layout", ["1x2", "1x4", "3x1", "2+1"])
def test_lists_of_differing_sizes(pools: Pools, layout: str, op: str) -> None:
    for base in (1, 1000, 100_000):
        pools.get(layout).run(scatter_uneven, base, op)
