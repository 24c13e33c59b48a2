"""gather and scatter: the root gets everybody's bits, or gives everybody its part."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Pools
from harness.layout import LAYOUTS
from support.strategies import CASES, Case
from support.tensors import DTYPES, FORMS, check_equal, hold, values


def gather_case(case: Case, root: int, output_form: str) -> None:
    inputs = _parts(case)
    rank = dist.get_rank()
    mine = hold(inputs[rank], case.form)
    outputs = [hold(torch.zeros_like(each), output_form) for each in inputs] if rank == root else []
    dist.gather(mine.tensor, [output.tensor for output in outputs] or None, dst=root)
    check_equal(mine.tensor, inputs[rank])
    for output, expected in zip(outputs, inputs, strict=rank == root):
        output.check_gaps()
        check_equal(output.tensor, expected)


def scatter_case(case: Case, root: int, output_form: str) -> None:
    parts = _parts(case)
    rank = dist.get_rank()
    given_parts = [hold(part, case.form) for part in parts] if rank == root else []
    output = hold(torch.zeros_like(parts[rank]), output_form)
    dist.scatter(output.tensor, [part.tensor for part in given_parts] or None, src=root)
    output.check_gaps()
    check_equal(output.tensor, parts[rank])
    for part, kept in zip(given_parts, parts, strict=rank == root):
        check_equal(part.tensor, kept)


def every_root_and_dtype(layout: str) -> None:
    for root in range(dist.get_world_size()):
        for dtype in DTYPES:
            gather_case(Case(layout, dtype, 333), root, "contiguous")
            scatter_case(Case(layout, dtype, 333), root, "contiguous")


def exchange_objects() -> None:
    """The object collectives that torch makes of gather, scatter, send and recv."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for root in range(size):
        gathered: list[object] = [None] * size
        dist.gather_object({"rank": rank, "text": "x" * rank}, gathered if rank == root else None, dst=root)
        if rank == root:
            assert gathered == [{"rank": other, "text": "x" * other} for other in range(size)]
        scattered: list[object] = [None]
        dist.scatter_object_list(scattered, [("to", other) for other in range(size)], src=root)
        assert scattered == [("to", rank)]
    received: list[object] = [None]
    if rank == 0:
        dist.send_object_list([{"from": rank}], dst=size - 1)
    elif rank == size - 1:
        dist.recv_object_list(received, src=0)
        assert received == [{"from": 0}]


def _parts(case: Case) -> list[torch.Tensor]:
    return [values(case.dtype, case.numel, seed=case.seed, rank=rank) for rank in case.ranks]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_root_and_dtype(pools: Pools, layout: str) -> None:
    pools.get(layout).run(every_root_and_dtype, layout)


@pytest.mark.parametrize("collective", [gather_case, scatter_case])
@settings(max_examples=100)
@given(case=CASES, root=st.integers(0, 7), output_form=st.sampled_from(FORMS))
def test_any_size_and_memory_layout(
    pools: Pools, collective: object, case: Case, root: int, output_form: str
) -> None:
    assert callable(collective)
    pools.get(case.layout).run(collective, case, root % case.world_size, output_form)


@pytest.mark.parametrize("layout", ["1x4", "4x1", "2x2", "2+1"])
def test_megabytes(pools: Pools, layout: str) -> None:
    case = Case(layout, "float32", 700_001)
    pools.get(layout).run(gather_case, case, 1, "contiguous")
    pools.get(layout).run(scatter_case, case, 1, "contiguous")


@pytest.mark.parametrize("layout", ["1x2", "1x4", "2x2", "2+1"])
def test_objects(pools: Pools, layout: str) -> None:
    pools.get(layout).run(exchange_objects)
