"""Local SGD: gradients are averaged inside subgroups, parameters over all ranks from time to time."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import (
    PostLocalSGDState,
    post_localSGD_hook,
)
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.algorithms.model_averaging.hierarchical_model_averager import (
    HierarchicalModelAverager,
)
from torch.nn.parallel import DistributedDataParallel

from harness import Pools
from support.training import batches, check_pairs, make_model, over_both, parameters_of

STEPS = 7
WARM_UP = 2


def train(group: dist.ProcessGroup, hierarchical: bool = False) -> torch.Tensor:
    """The parameters after each step: between averages, they differ from subgroup to subgroup."""
    from torch.distributed.optim import PostLocalSGDOptimizer  # warns at import, of what pytest shows

    backend = dist.get_backend(group)
    halves = [dist.new_group(ranks, backend=backend) for ranks in ([0, 1], [2, 3])]
    parallel = DistributedDataParallel(make_model(), process_group=group, bucket_cap_mb=0.001)
    half = halves[dist.get_rank() // 2]
    state = PostLocalSGDState(group, half, start_localSGD_iter=WARM_UP)  # type: ignore[no-untyped-call]
    parallel.register_comm_hook(state, post_localSGD_hook)
    averager = (
        HierarchicalModelAverager({2: 2, 4: 4}, warmup_steps=WARM_UP)  # type: ignore[no-untyped-call]
        if hierarchical
        else PeriodicModelAverager(period=3, warmup_steps=WARM_UP, process_group=group)
    )
    optimizer = PostLocalSGDOptimizer(torch.optim.SGD(parallel.parameters(), lr=0.1), averager)
    history = []
    for inputs in batches(STEPS):
        optimizer.zero_grad()
        parallel(inputs).square().mean().backward()
        optimizer.step()  # type: ignore[no-untyped-call]
        history.append(parameters_of(parallel))
    dist.destroy_process_group(half)
    return torch.stack(history)


def train_in_a_hierarchy() -> torch.Tensor:
    assert dist.group.WORLD is not None
    return train(dist.group.WORLD, hierarchical=True)


def compare() -> tuple[torch.Tensor, torch.Tensor]:
    return over_both(train)


def check_differences(results: list[torch.Tensor]) -> None:
    """Rank 0 and rank 3 part and meet again: without that, the comparison shows nothing."""
    alike = [torch.equal(ours, theirs) for ours, theirs in zip(results[0], results[3], strict=True)]
    assert alike[:WARM_UP] == [True] * WARM_UP
    assert set(alike[WARM_UP:]) == {True, False}


@pytest.mark.parametrize("layout", ["2x2"])
def test_averages_as_over_gloo(pools: Pools, layout: str) -> None:
    pairs = pools.get(layout).run(compare)
    check_pairs(pairs)
    check_differences([ours for ours, _ in pairs])


@pytest.mark.parametrize("layout", ["2x2"])
def test_hierarchy_as_over_gloo(pools: Pools, gloo_pools: Pools, layout: str) -> None:
    ours = pools.get(layout).run(train_in_a_hierarchy)
    theirs = gloo_pools.get(layout).run(train_in_a_hierarchy)
    check_pairs(list(zip(ours, theirs, strict=True)))
    check_differences(ours)
