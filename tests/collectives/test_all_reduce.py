"""all_reduce against an exact reference; all ranks end with the same bits."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Pools
from harness.layout import LAYOUTS, Layout
from support.strategies import CASES, Case
from support.tensors import DTYPES, FLOATS, FORMS, OPS, check_reduction, digest, hold, makes_sense, values


def reduce_case(case: Case, op: str) -> str:
    inputs = [
        values(case.dtype, case.numel, seed=case.seed, rank=rank, world_size=case.world_size, op=op)
        for rank in case.ranks
    ]
    return _reduce(inputs, op, case)


def reduce_every_pair(layout: str) -> list[str]:
    """One call for each pair of dtype and op that makes sense."""
    return [
        reduce_case(Case(layout, dtype, 1001), op) for dtype in DTYPES for op in OPS if makes_sense(dtype, op)
    ]


def reduce_with_nans(case: Case, op: str) -> str:
    inputs = [values(case.dtype, case.numel, seed=case.seed, rank=rank) for rank in case.ranks]
    for rank, tensor in enumerate(inputs):
        tensor[rank::7] = float("nan")
        tensor[rank + 1 :: 11] = float("inf")
        tensor[rank + 2 :: 13] = float("-inf")
    return _reduce(inputs, op, case)


def reduce_every_senseless_pair() -> list[str]:
    """Each must raise, send nothing, and so leave the group as usable as before: the last call proves it."""
    messages = []
    for dtype in DTYPES:
        for op in OPS:
            if not makes_sense(dtype, op):
                tensor = values(dtype, 10, seed=0, rank=0)
                with pytest.raises(Exception, match=op) as caught:
                    dist.all_reduce(tensor, op=getattr(dist.ReduceOp, op))
                assert "RingConfigError" in [ancestor.__name__ for ancestor in type(caught.value).__mro__]
                assert dtype in str(caught.value)
                messages.append(str(caught.value))
    total = torch.ones(5)
    dist.all_reduce(total)
    assert total.tolist() == [dist.get_world_size()] * 5
    return messages


def average_the_largest() -> None:
    """The sum of all ranks' does not fit the type, the average does."""
    for dtype in (torch.float16, torch.float8_e4m3fn, torch.float8_e5m2):
        for numel in (3, 100_003):
            tensor = torch.full((numel,), torch.finfo(dtype).max).to(dtype)
            expected = tensor.clone()
            dist.all_reduce(tensor, op=dist.ReduceOp.AVG)
            assert tensor.view(torch.uint8).equal(expected.view(torch.uint8)), f"{dtype}: {tensor[0]}"


def _reduce(inputs: list[torch.Tensor], op: str, case: Case) -> str:
    held = hold(inputs[dist.get_rank()], case.form)
    dist.all_reduce(held.tensor, op=getattr(dist.ReduceOp, op))
    held.check_gaps()
    check_reduction(held.tensor, inputs, op, Layout.parse(case.layout))
    return digest(held.tensor)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype_and_op(pools: Pools, layout: str) -> None:
    digests = pools.get(layout).run(reduce_every_pair, layout)
    assert all(each == digests[0] for each in digests)


@pytest.mark.parametrize("layout", ["1x3", "3x1", "2x2", "2+1"])
def test_averages_that_fit_do_not_overflow(pools: Pools, layout: str) -> None:
    pools.get(layout).run(average_the_largest)


@settings(max_examples=400)
@given(case=CASES, op=st.sampled_from(OPS))
def test_any_size_and_memory_layout(pools: Pools, case: Case, op: str) -> None:
    if makes_sense(case.dtype, op):
        assert len(set(pools.get(case.layout).run(reduce_case, case, op))) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "case",
    [
        Case("1x2", "float32", (1 << 20) + 3),
        Case("1x4", "int8", 5_000_003),
        Case("4x1", "int32", 1_000_005),
        Case("2x2", "bfloat16", 2_000_001),
        Case("2+1", "float16", 1_500_000),
        Case("3x2", "float64", 300_007),
    ],
    ids=lambda case: f"{case.layout}-{case.dtype}",
)
def test_megabytes(pools: Pools, case: Case, form: str) -> None:
    case = Case(case.layout, case.dtype, case.numel, form)
    assert len(set(pools.get(case.layout).run(reduce_case, case, "SUM"))) == 1


@pytest.mark.parametrize("op", ["MIN", "MAX"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["1x3", "2+1"])
def test_min_and_max_keep_nans(pools: Pools, layout: str, dtype: str, op: str) -> None:
    case = Case(layout, dtype, 1000)
    assert len(set(pools.get(layout).run(reduce_with_nans, case, op))) == 1


@pytest.mark.parametrize("layout", ["1x1", "1x4", "2x2"])
def test_senseless_pairs_are_refused_and_cost_nothing(pools: Pools, layout: str) -> None:
    messages = pools.get(layout).run(reduce_every_senseless_pair)
    assert len(messages[0]) == 3 * len(FLOATS) + 1
    assert all(each == messages[0] for each in messages)
