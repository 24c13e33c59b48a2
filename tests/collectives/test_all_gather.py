"""all_gather and all_gather_into_tensor: everybody ends with everybody's bits, in rank order."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Pools
from harness.layout import LAYOUTS
from support.strategies import CASES, Case
from support.tensors import DTYPES, FORMS, check_equal, digest, hold, values


def gather_list(case: Case, output_form: str) -> str:
    inputs = _inputs(case)
    mine = hold(inputs[dist.get_rank()], case.form)
    outputs = [hold(torch.zeros_like(each), output_form) for each in inputs]
    dist.all_gather([output.tensor for output in outputs], mine.tensor)
    for output, expected in zip([*outputs, mine], [*inputs, inputs[dist.get_rank()]], strict=True):
        output.check_gaps()
        check_equal(output.tensor, expected)
    return digest(*(output.tensor for output in outputs))


def gather_into_tensor(case: Case, output_form: str, stacked: bool) -> str:
    """`stacked`: the output has a dimension of its own for the ranks, in place of a longer first one."""
    inputs = _inputs(case)
    mine = inputs[dist.get_rank()]
    output = hold(torch.zeros(case.world_size * case.numel, dtype=mine.dtype), output_form)
    if stacked:
        flat = torch.zeros(case.world_size, case.numel, dtype=mine.dtype)
        dist.all_gather_into_tensor(flat, mine)
        check_equal(flat, torch.cat(inputs))
    dist.all_gather_into_tensor(output.tensor, hold(mine, case.form).tensor)
    output.check_gaps()
    check_equal(output.tensor, torch.cat(inputs))
    return digest(output.tensor)


def gather_every_dtype(layout: str) -> None:
    for dtype in DTYPES:
        gather_list(Case(layout, dtype, 333), "contiguous")
        gather_into_tensor(Case(layout, dtype, 333), "contiguous", stacked=True)


def _inputs(case: Case) -> list[torch.Tensor]:
    return [values(case.dtype, case.numel, seed=case.seed, rank=rank) for rank in case.ranks]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype(pools: Pools, layout: str) -> None:
    pools.get(layout).run(gather_every_dtype, layout)


@settings(max_examples=120)
@given(case=CASES, output_form=st.sampled_from(FORMS))
def test_lists_of_any_size_and_memory_layout(pools: Pools, case: Case, output_form: str) -> None:
    assert len(set(pools.get(case.layout).run(gather_list, case, output_form))) == 1


@settings(max_examples=120)
@given(case=CASES, output_form=st.sampled_from(FORMS), stacked=st.booleans())
def test_tensors_of_any_size_and_memory_layout(
    pools: Pools, case: Case, output_form: str, stacked: bool
) -> None:
    assert len(set(pools.get(case.layout).run(gather_into_tensor, case, output_form, stacked))) == 1


@pytest.mark.parametrize("layout", ["1x4", "4x1", "2+1"])
def test_megabytes(pools: Pools, layout: str) -> None:
    case = Case(layout, "float32", 700_001)
    assert len(set(pools.get(layout).run(gather_into_tensor, case, "contiguous", False))) == 1
