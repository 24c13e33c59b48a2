"""The options of DistributedDataParallel do over ring what they do over gloo."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from harness import Pools
from support.training import batches, check_pairs, make_model, over_both, parameters_of


class Branches(nn.Module):
    """Has a part that only some ranks use in some steps, one that nobody uses, and one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(20, 20)
        self.sometimes = nn.Linear(20, 20)
        self.never = nn.Linear(20, 20)

    def forward(self, inputs: torch.Tensor, sometimes: bool) -> torch.Tensor:
        hidden: torch.Tensor = self.shared(self.shared(inputs).relu())
        return self.sometimes(hidden) if sometimes else hidden


class Checkpointed(nn.Module):
    """Recomputes a part that is used twice: DDP can only do this when it may assume a static graph."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(20, 20)
        self.never = nn.Linear(20, 20)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = checkpoint(self.shared, inputs, use_reentrant=True)
        return checkpoint(self.shared, hidden, use_reentrant=True)  # type: ignore[no-any-return]


def wrapped(model: nn.Module, group: dist.ProcessGroup, **options: Any) -> DistributedDataParallel:
    """In buckets so small that the models fill several."""
    return DistributedDataParallel(model, process_group=group, bucket_cap_mb=0.001, **options)


def train_unused_parameters(group: dist.ProcessGroup) -> torch.Tensor:
    torch.manual_seed(1)
    parallel = wrapped(Branches(), group, find_unused_parameters=True)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for step, inputs in enumerate(batches()):
        optimizer.zero_grad()
        parallel(inputs, sometimes=step != 1 and dist.get_rank() == 0).square().mean().backward()
        # Step 1: the part was not used on any rank, and DDP found that out.
        assert (parallel.module.sometimes.weight.grad is None) == (step == 1)
        assert parallel.module.never.weight.grad is None
        optimizer.step()
    return parameters_of(parallel)


def train_static_graph(group: dist.ProcessGroup) -> torch.Tensor:
    torch.manual_seed(2)
    parallel = wrapped(Checkpointed(), group, static_graph=True)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for inputs in batches():
        optimizer.zero_grad()
        parallel(inputs.requires_grad_()).square().mean().backward()
        optimizer.step()
    return parameters_of(parallel)


def train_with_buffers(group: dist.ProcessGroup) -> torch.Tensor:
    """The statistics of BatchNorm follow the data of each rank; each step starts with those of rank 0."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.Linear(30, 4))
    parallel = wrapped(model, group, broadcast_buffers=True)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for inputs in batches():
        optimizer.zero_grad()
        parallel(inputs).square().mean().backward()
        optimizer.step()
    own_statistics = parameters_of(parallel)
    parallel(inputs.zero_())  # which starts with the statistics of rank 0, and zeros change them alike
    assert not torch.equal(own_statistics, parameters_of(parallel))
    return parameters_of(parallel)


def train_with_no_sync(group: dist.ProcessGroup) -> torch.Tensor:
    """Gradients of three batches: two of them stay on the rank until the third is there."""
    parallel = wrapped(make_model(4), group)
    for number, inputs in enumerate(batches(steps=3)):
        with parallel.no_sync() if number < 2 else nullcontext():
            parallel(inputs).square().mean().backward()
        first = next(parallel.parameters()).grad
        assert first is not None
        everyones = [torch.empty_like(first) for _ in range(dist.get_world_size())]
        dist.all_gather(everyones, first, group=group)
        assert torch.equal(everyones[0], everyones[1]) == (number == 2)
    return torch.cat([value.grad.flatten() for value in parallel.parameters() if value.grad is not None])


def normalize_together(group: dist.ProcessGroup) -> str:
    model = nn.SyncBatchNorm(20, process_group=group)
    with pytest.raises(ValueError) as error:
        model(batches()[0])
    return str(error.value)


SCENARIOS: dict[str, Callable[[dist.ProcessGroup], torch.Tensor]] = {
    "unused_parameters": train_unused_parameters,
    "static_graph": train_static_graph,
    "buffers": train_with_buffers,
    "no_sync": train_with_no_sync,
}


def compare(scenario: str) -> tuple[torch.Tensor, torch.Tensor]:
    return over_both(SCENARIOS[scenario])


def compare_refusals() -> tuple[str, str]:
    return over_both(normalize_together)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_as_over_gloo(pools: Pools, layout: str, scenario: str) -> None:
    pairs = pools.get(layout).run(compare, scenario)
    check_pairs(pairs)
    for ours, _ in pairs:
        assert torch.equal(ours, pairs[0][0]), "the ranks trained different models"


def test_sync_batch_norm_is_refused_as_over_gloo(pools: Pools) -> None:
    for ours, theirs in pools.get("1x2").run(compare_refusals):
        assert ours == theirs and "to be on GPU" in ours
