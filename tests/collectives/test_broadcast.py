"""broadcast: everybody ends with the root's bits."""

from __future__ import annotations

import pytest
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Pools
from harness.layout import LAYOUTS
from support.strategies import CASES, Case
from support.tensors import DTYPES, check_equal, digest, hold, values


def broadcast_case(case: Case, root: int) -> str:
    held = hold(values(case.dtype, case.numel, seed=case.seed, rank=dist.get_rank()), case.form)
    dist.broadcast(held.tensor, src=root)
    held.check_gaps()
    check_equal(held.tensor, values(case.dtype, case.numel, seed=case.seed, rank=root))
    return digest(held.tensor)


def broadcast_from_every_root(layout: str) -> None:
    for root in range(dist.get_world_size()):
        for dtype in DTYPES:
            broadcast_case(Case(layout, dtype, 777), root)
        broadcast_case(Case(layout, "float32", 100_003), root)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_root_and_dtype(pools: Pools, layout: str) -> None:
    pools.get(layout).run(broadcast_from_every_root, layout)


@settings(max_examples=120)
@given(case=CASES, root=st.integers(0, 7))
def test_any_size_and_memory_layout(pools: Pools, case: Case, root: int) -> None:
    assert len(set(pools.get(case.layout).run(broadcast_case, case, root % case.world_size))) == 1


@pytest.mark.parametrize("layout", ["1x4", "4x1", "2+1"])
def test_megabytes(pools: Pools, layout: str) -> None:
    case = Case(layout, "float32", 1_000_003)
    for root in case.ranks:
        assert len(set(pools.get(layout).run(broadcast_case, case, root))) == 1
