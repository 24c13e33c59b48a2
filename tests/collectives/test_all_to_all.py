"""all_to_all and all_to_all_single: rank r ends with everybody's part r; parts of any sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Job, Pools, init_group
from harness.layout import LAYOUTS
from support.sandbox import refuse_process_vm_readv
from support.strategies import CASES, Case
from support.tensors import DTYPES, FORMS, check_equal, hold, values


def exchange_lists(case: Case, output_form: str, uneven: bool) -> None:
    rank = dist.get_rank()
    inputs = [hold(_part(case, rank, to, uneven), case.form) for to in case.ranks]
    expected = [_part(case, source, rank, uneven) for source in case.ranks]
    outputs = [hold(torch.zeros_like(each), output_form) for each in expected]
    dist.all_to_all([output.tensor for output in outputs], [each.tensor for each in inputs])
    for source in case.ranks:
        outputs[source].check_gaps()
        check_equal(outputs[source].tensor, expected[source])
        check_equal(inputs[source].tensor, _part(case, rank, source, uneven))


def exchange_rows(case: Case, uneven: bool) -> None:
    """Splits count rows of the first dimension; here a row has two elements."""
    rank = dist.get_rank()
    inputs = [_part(case, rank, to, uneven).repeat(2).view(-1, 2) for to in case.ranks]
    expected = [_part(case, source, rank, uneven).repeat(2).view(-1, 2) for source in case.ranks]
    output = torch.zeros_like(torch.cat(expected))
    splits = [[each.shape[0] for each in parts] if uneven else None for parts in (expected, inputs)]
    dist.all_to_all_single(output, torch.cat(inputs), splits[0], splits[1])
    check_equal(output, torch.cat(expected))


def exchange_every_dtype(layout: str) -> None:
    for dtype in DTYPES:
        exchange_lists(Case(layout, dtype, 101), "contiguous", uneven=True)
        exchange_rows(Case(layout, dtype, 101), uneven=False)


def exchange_in_a_sandbox() -> None:
    """What the kernel does not let a rank read from another's memory comes another way."""
    refuse_process_vm_readv()
    init_group()
    for numel in (300_001, 17):
        exchange_lists(Case("1x3", "float32", numel), "contiguous", uneven=True)


def wrong_splits() -> None:
    """Each must raise, send nothing, and so leave the group as usable as before: the last call proves it."""
    size = dist.get_world_size()
    tensor = torch.zeros(2 * size)
    with pytest.raises(ValueError, match="input splits"):
        dist.all_to_all_single(tensor, tensor.clone(), None, [1] * size)
    with pytest.raises(ValueError, match="negative output split"):
        dist.all_to_all_single(tensor, tensor.clone(), [-1] * size, None)
    with pytest.raises(ValueError, match="evenly"):
        dist.all_to_all_single(torch.zeros(2 * size + 1), torch.zeros(2 * size + 1))
    with pytest.raises(ValueError, match=f"{size + 1} tensors"):
        dist.all_to_all([torch.zeros(1)] * (size + 1), [torch.zeros(1)] * size)
    total = torch.ones(1)
    dist.all_reduce(total)
    assert int(total) == size


def _part(case: Case, source: int, to: int, uneven: bool) -> torch.Tensor:
    """What `source` gives to `to`; uneven: of another size, and sometimes nothing."""
    numel = case.numel * ((source + 2 * to) % 4) // 2 if uneven else case.numel
    return values(case.dtype, numel, seed=case.seed + to, rank=source)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype(pools: Pools, layout: str) -> None:
    pools.get(layout).run(exchange_every_dtype, layout)


@settings(max_examples=120)
@given(case=CASES, output_form=st.sampled_from(FORMS), uneven=st.booleans())
def test_lists_of_any_size_and_memory_layout(
    pools: Pools, case: Case, output_form: str, uneven: bool
) -> None:
    pools.get(case.layout).run(exchange_lists, case, output_form, uneven)


@settings(max_examples=80)
@given(case=CASES, uneven=st.booleans())
def test_rows_of_any_size(pools: Pools, case: Case, uneven: bool) -> None:
    pools.get(case.layout).run(exchange_rows, case, uneven)


@pytest.mark.parametrize("uneven", [False, True], ids=["even", "uneven"])
@pytest.mark.parametrize("layout", ["1x4", "4x1", "2x2", "2+1"])
def test_megabytes(pools: Pools, layout: str, uneven: bool) -> None:
    pools.get(layout).run(exchange_rows, Case(layout, "float32", 300_001), uneven)


def test_wrong_splits(pools: Pools) -> None:
    pools.get("2+1").run(wrong_splits)


def test_without_access_to_other_processes(launch: Callable[..., Job]) -> None:
    launch("1x3").run(exchange_in_a_sandbox)
