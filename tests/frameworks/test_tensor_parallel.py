"""DTensor and tensor parallelism compute over ring what one process computes alone, and gloo's results."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)

from harness import Pools
from support.training import check_pairs, make_model


def redistribute() -> list[torch.Tensor]:
    """A tensor in all placements, by way of each other one. 7 rows: no number of ranks divides them."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    whole = torch.arange(7 * 5.0).reshape(7, 5)
    results = []
    for source in (Shard(0), Shard(1), Replicate()):
        for target in (Shard(0), Shard(1), Replicate()):
            tensor = distribute_tensor(whole, mesh, [source])
            moved = tensor.redistribute(mesh, [target])
            assert moved.placements == (target,)
            assert torch.equal(moved.full_tensor(), whole)
            results.append(moved.to_local())
    return results


def reduce_partial() -> list[torch.Tensor]:
    size, rank = dist.get_world_size(), dist.get_rank()
    mesh = init_device_mesh("cpu", (size,))
    results = []
    for op, expected in (
        ("sum", sum(range(size))),
        ("avg", (size - 1) / 2),
        ("min", 0),
        ("max", size - 1),
    ):
        for target in (Replicate(), Shard(0)):
            local = torch.full((7, 3), float(rank))
            partial = DTensor.from_local(local, mesh, [Partial(op)])
            reduced = partial.redistribute(mesh, [target])
            assert torch.equal(reduced.full_tensor(), torch.full((7, 3), float(expected)))
            results.append(reduced.to_local())
    return results


def multiply() -> list[torch.Tensor]:
    """Operators between DTensors communicate as their placements need."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    torch.manual_seed(1)
    a, b = torch.randn(6, 12), torch.randn(12, 6)
    results = []
    for left, right in ((Shard(0), Replicate()), (Shard(1), Shard(0)), (Shard(0), Shard(1))):
        product = distribute_tensor(a, mesh, [left]) @ distribute_tensor(b, mesh, [right])
        assert isinstance(product, DTensor)
        torch.testing.assert_close(product.full_tensor(), a @ b)
        results.append(product.full_tensor())
    return results


class Block(nn.Module):
    """Enough of a transformer: a norm, two projections, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.norm = nn.LayerNorm(12)
        self.up = nn.Linear(12, 24)
        self.down = nn.Linear(24, 12)
        self.head = nn.Linear(12, 18, bias=False)

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.head(self.down(self.up(self.norm(inputs)).relu()))


PLANS: dict[str, dict[str, Any]] = {
    "tensor": {
        "up": ColwiseParallel(),
        "down": RowwiseParallel(),
        "head": ColwiseParallel(output_layouts=Shard(-1), use_local_output=False),
    },
    "sequence": {
        "norm": SequenceParallel(),
        "up": ColwiseParallel(input_layouts=Shard(1)),
        "down": RowwiseParallel(output_layouts=Shard(1)),
        "head": ColwiseParallel(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False),
    },
}


def loss_of(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def whole(tensor: Any) -> torch.Tensor:
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    assert isinstance(full, torch.Tensor)
    return full.detach()


def train_tensor_parallel(plan: str) -> torch.Tensor:
    """Gradients of the parallel block, which are those of a block that is on one rank alone."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    alone, model = Block(), Block()
    parallelize_module(model, mesh, PLANS[plan])
    torch.manual_seed(3)
    inputs, targets = torch.randn(4, 6, 12), torch.randint(0, 18, (4, 6))
    expected = loss_of(alone, inputs, targets)
    expected.backward()  # type: ignore[no-untyped-call]
    if plan == "sequence":
        inputs = distribute_tensor(inputs, mesh, [Shard(1)])
    with loss_parallel():
        loss = loss_of(model, inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(whole(loss), expected.detach())
    gradients = [whole(value.grad) for value in model.parameters()]
    for gradient, value in zip(gradients, alone.parameters(), strict=True):
        torch.testing.assert_close(gradient, value.grad)
    return torch.cat([gradient.flatten() for gradient in gradients])


def train_in_two_dimensions() -> torch.Tensor:
    """Tensor parallelism inside a host, FSDP between the hosts."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    model: Any = make_model()
    parallelize_module(model, mesh["tensor"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    fully_shard(model, mesh=mesh["data"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    data = torch.Generator().manual_seed(mesh.get_local_rank("data"))  # the same in each tensor group
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(6, 20, generator=data)).square().mean().backward()
        optimizer.step()
    return torch.cat([whole(value).flatten() for value in model.parameters()])


def check(pools: Pools, gloo_pools: Pools, layout: str, function: Any, *args: Any) -> None:
    ours, theirs = (each.get(layout).run(function, *args) for each in (pools, gloo_pools))
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted)


@pytest.mark.parametrize("function", [redistribute, reduce_partial, multiply])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_dtensor(pools: Pools, gloo_pools: Pools, layout: str, function: Any) -> None:
    check(pools, gloo_pools, layout, function)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_parallel_modules(pools: Pools, gloo_pools: Pools, layout: str, plan: str) -> None:
    check(pools, gloo_pools, layout, train_tensor_parallel, plan)


def test_with_fsdp(pools: Pools, gloo_pools: Pools) -> None:
    ours, theirs = (each.get("2x2").run(train_in_two_dimensions) for each in (pools, gloo_pools))
    check_pairs(list(zip(ours, theirs, strict=True)))
