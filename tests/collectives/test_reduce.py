"""reduce: the root ends with the reduction, the others with what they had."""

from __future__ import annotations

import pytest
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Pools
from harness.layout import LAYOUTS, Layout
from support.strategies import CASES, Case
from support.tensors import DTYPES, OPS, check_equal, check_reduction, hold, makes_sense, values


def reduce_case(case: Case, op: str, root: int) -> None:
    inputs = [
        values(case.dtype, case.numel, seed=case.seed, rank=rank, world_size=case.world_size, op=op)
        for rank in case.ranks
    ]
    rank = dist.get_rank()
    mine = hold(inputs[rank], case.form)
    dist.reduce(mine.tensor, dst=root, op=getattr(dist.ReduceOp, op))
    mine.check_gaps()
    if rank == root:
        check_reduction(mine.tensor, inputs, op, Layout.parse(case.layout))
    else:
        check_equal(mine.tensor, inputs[rank])


def reduce_every_pair(layout: str) -> None:
    world_size = dist.get_world_size()
    for number, dtype in enumerate(DTYPES):
        for op in OPS:
            if makes_sense(dtype, op):
                reduce_case(Case(layout, dtype, 1001), op, number % world_size)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype_and_op(pools: Pools, layout: str) -> None:
    pools.get(layout).run(reduce_every_pair, layout)


@settings(max_examples=120)
@given(case=CASES, op=st.sampled_from(OPS), root=st.integers(0, 7))
def test_any_size_and_memory_layout(pools: Pools, case: Case, op: str, root: int) -> None:
    if makes_sense(case.dtype, op):
        pools.get(case.layout).run(reduce_case, case, op, root % case.world_size)


@pytest.mark.parametrize("layout", ["1x4", "4x1", "2x2", "2+1"])
def test_megabytes(pools: Pools, layout: str) -> None:
    for root in range(2):
        pools.get(layout).run(reduce_case, Case(layout, "float32", 1_000_003), "SUM", root)
