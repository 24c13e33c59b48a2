"""Pipeline schedules: stages on the ranks exchange activations and gradients by send and recv."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleLoopedBFS,
)
from torch.nn.functional import mse_loss

from harness import Pools
from support.training import check_pairs, over_both

SCHEDULES: dict[str, Any] = {
    "gpipe": ScheduleGPipe,
    "1f1b": Schedule1F1B,
    "looped": ScheduleLoopedBFS,
    "interleaved": ScheduleInterleaved1F1B,
    "zero_bubble": ScheduleInterleavedZeroBubble,
}
SEVERAL_STAGES = ("looped", "interleaved", "zero_bubble")  # on each rank
MICROBATCHES = 6
STEPS = 2


def make_stage(number: int) -> nn.Module:
    torch.manual_seed(number)
    return nn.Sequential(nn.Linear(20, 20), nn.Tanh())


def data() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(100)
    return torch.randn(2 * MICROBATCHES, 20), torch.randn(2 * MICROBATCHES, 20)


def optimizer_of(modules: list[nn.Module]) -> torch.optim.Optimizer:
    return torch.optim.SGD([value for module in modules for value in module.parameters()], lr=0.5)


def train_alone(stages: int) -> list[torch.Tensor]:
    """The parameters of each stage, trained in one process in one go."""
    modules = [make_stage(number) for number in range(stages)]
    optimizer = optimizer_of(modules)
    inputs, targets = data()
    for _ in range(STEPS):
        optimizer.zero_grad()
        mse_loss(nn.Sequential(*modules)(inputs), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return [torch.cat([value.detach().flatten() for value in module.parameters()]) for module in modules]


def train(group: dist.ProcessGroup, schedule: str) -> torch.Tensor:
    """The parameters of this rank's stages, and the last stage's losses."""
    rank, size = dist.get_rank(), dist.get_world_size()
    several = schedule in SEVERAL_STAGES
    count = 2 * size if several else size
    modules = [make_stage(number) for number in range(rank, count, size)]
    stages: list[Any] = [
        PipelineStage(module, number, count, torch.device("cpu"), group=group)
        for module, number in zip(modules, range(rank, count, size), strict=True)
    ]
    plan = SCHEDULES[schedule](stages if several else stages[0], MICROBATCHES, loss_fn=mse_loss)
    optimizer = optimizer_of(modules)
    inputs, targets = data()
    losses: list[torch.Tensor] = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        if rank == size - 1:
            plan.step(*(() if size > 1 else (inputs,)), target=targets, losses=losses)
        else:
            plan.step(*((inputs,) if rank == 0 else ()))
        optimizer.step()
    trained = [torch.cat([value.detach().flatten() for value in module.parameters()]) for module in modules]
    alone = train_alone(count)
    for mine, wanted in zip(trained, alone[rank::size], strict=True):
        torch.testing.assert_close(mine, wanted)
    return torch.cat(trained + [loss.detach().reshape(1) for loss in losses])


def compare(schedule: str) -> tuple[torch.Tensor, torch.Tensor]:
    return over_both(lambda group: train(group, schedule))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_as_over_gloo(pools: Pools, layout: str, schedule: str) -> None:
    check_pairs(pools.get(layout).run(compare, schedule), tolerance=0)  # nothing is reduced
