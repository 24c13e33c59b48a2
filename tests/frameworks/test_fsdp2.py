"""fully_shard (FSDP2) trains over ring as it does over gloo, over one mesh dimension and over two."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from harness import Pools
from support.training import batches, check_pairs, make_model

SHAPES: dict[str, tuple[int, ...]] = {"1x2": (2,), "2+1": (3,), "2x2": (2, 2)}
REDUCED = {"float32": None, "bfloat16": torch.bfloat16}


def full(tensor: Any) -> torch.Tensor:
    assert isinstance(tensor, DTensor)
    return tensor.full_tensor().detach()


def train(shape: tuple[int, ...], reduced: str) -> torch.Tensor:
    """All parameters after a few steps, put together again, and the norms of the gradients."""
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("copies", "shards")[-len(shape) :])
    policy = MixedPrecisionPolicy(param_dtype=REDUCED[reduced], reduce_dtype=REDUCED[reduced])
    model: Any = make_model()
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    norms = []
    for step, inputs in enumerate(batches(steps=4)):
        model.set_requires_gradient_sync(step != 1)  # the gradients of batch 1 are added to those of batch 2
        model(inputs).float().square().mean().backward()
        if step == 1:
            continue
        norms.append(full(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
        optimizer.step()
        optimizer.zero_grad()
    return torch.cat([full(value).flatten() for value in model.parameters()] + [torch.stack(norms)])


def set_divide_factor(shape: tuple[int, ...], sum_only: bool) -> torch.Tensor:
    """Gradients divided by something else than the number of ranks: by PREMUL_SUM, unless by sums only."""
    model: Any = fully_shard(make_model(), mesh=init_device_mesh("cpu", shape))
    model.set_gradient_divide_factor(3.0)
    model.set_force_sum_reduction_for_comms(sum_only)
    model(batches()[0]).square().mean().backward()
    return torch.cat([full(value.grad).flatten() for value in model.parameters()])


@pytest.mark.parametrize("reduced", REDUCED)
@pytest.mark.parametrize("layout", SHAPES)
def test_as_over_gloo(pools: Pools, gloo_pools: Pools, layout: str, reduced: str) -> None:
    ours = pools.get(layout).run(train, SHAPES[layout], reduced)
    theirs = gloo_pools.get(layout).run(train, SHAPES[layout], reduced)
    check_pairs(list(zip(ours, theirs, strict=True)), 1e-5 if reduced == "float32" else 2e-2)
    for result in ours:
        assert torch.equal(result, ours[0]), "the ranks trained different models"


@pytest.mark.parametrize("sum_only", [False, True], ids=["premul_sum", "sum"])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_divide_factor(pools: Pools, gloo_pools: Pools, layout: str, sum_only: bool) -> None:
    ours = pools.get(layout).run(set_divide_factor, SHAPES[layout], sum_only)
    theirs = gloo_pools.get(layout).run(set_divide_factor, SHAPES[layout], True)  # gloo has no PREMUL_SUM
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted)
