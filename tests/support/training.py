"""What the tests of DDP and of all else that is built on collectives share: models, comparison with gloo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from support import PRELOADED

Result = TypeVar("Result")

# What DDP and its like import at their first use: two seconds for DDP alone, for torch.compile's sake.
MODULES = (
    *PRELOADED,
    "torch._dynamo",
    "torch._dynamo.backends.debugging",
    "torch._functorch.aot_autograd",
    "torch.distributed.algorithms.ddp_comm_hooks",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.optim",
    "torch.distributed.pipelining",
    "torch.distributed.tensor.parallel",
    "support.training",
)


# A callback may still hold gloo's group when it is destroyed; were that the last to hold it, gloo's own
# thread would end it, join itself, and abort the process.
_ended: list[dist.ProcessGroup] = []


def over_both(train: Callable[[dist.ProcessGroup], Result]) -> tuple[Result, Result]:
    """What `train` returns over the default group, which is under test, and over gloo."""
    assert dist.group.WORLD is not None
    ours = train(dist.group.WORLD)
    gloo = dist.new_group(backend="gloo")
    try:
        return ours, train(gloo)
    finally:
        dist.destroy_process_group(gloo)
        _ended.append(gloo)


def parameters_of(model: nn.Module) -> torch.Tensor:
    """All parameters and buffers, one after the other."""
    return torch.cat([value.detach().double().flatten() for value in model.state_dict().values()])


def make_model(seed: int = 0) -> nn.Module:
    """A small model with a few parameters of very different sizes."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 60), nn.ReLU(), nn.Linear(60, 8), nn.ReLU(), nn.Linear(8, 4))


def batches(steps: int = 3, rows: int = 6, seed: int = 100) -> list[torch.Tensor]:
    """The inputs of this rank, which differ from those of the other ranks."""
    data = torch.Generator().manual_seed(seed + dist.get_rank())
    return [torch.randn(rows, 20, generator=data) for _ in range(steps)]


def check_pairs(pairs: list[tuple[torch.Tensor, torch.Tensor]], tolerance: float = 1e-5) -> None:
    """Each rank's pair from over_both() is the same: to the bit on two ranks, as a + b has but one result."""
    for ours, theirs in pairs:
        if len(pairs) == 2:
            assert torch.equal(ours, theirs), f"off by up to {(ours - theirs).abs().max()}"
        else:
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
