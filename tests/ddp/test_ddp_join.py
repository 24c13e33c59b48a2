"""DDP's join(): ranks that run out of data take part in the collectives of those that still have some."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from harness import Pools
from support.training import batches, check_pairs, make_model, over_both, parameters_of

BATCHES = (2, 5, 3)  # by rank


def train(group: dist.ProcessGroup, divide_by_initial_world_size: bool) -> torch.Tensor:
    parallel = DistributedDataParallel(make_model(), process_group=group, bucket_cap_mb=0.001)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    with parallel.join(divide_by_initial_world_size=divide_by_initial_world_size):
        for inputs in batches(BATCHES[dist.get_rank()]):
            optimizer.zero_grad()
            parallel(inputs).square().mean().backward()
            optimizer.step()
    return parameters_of(parallel)  # join() gives all ranks those of one that trained to the end


def train_until_the_first_ends(group: dist.ProcessGroup) -> tuple[int, str]:
    """How many batches a rank trained before join() raised, and what it said."""
    parallel = DistributedDataParallel(make_model(), process_group=group)
    done = 0
    with (
        pytest.raises(RuntimeError) as error,
        parallel.join(throw_on_early_termination=True),
    ):
        for inputs in batches(BATCHES[dist.get_rank()]):
            parallel(inputs).square().mean().backward()
            done += 1
    return done, str(error.value)


def compare(divide_by_initial_world_size: bool) -> tuple[torch.Tensor, torch.Tensor]:
    return over_both(lambda group: train(group, divide_by_initial_world_size))


def compare_early_ends() -> tuple[tuple[int, str], tuple[int, str]]:
    return over_both(train_until_the_first_ends)


@pytest.mark.parametrize("divisor", ["all", "the_rest"])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_uneven_inputs(pools: Pools, layout: str, divisor: str) -> None:
    pairs = pools.get(layout).run(compare, divisor == "all")
    check_pairs(pairs)
    for ours, _ in pairs:
        assert torch.equal(ours, pairs[0][0]), "the ranks trained different models"


@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_all_stop_with_the_first(pools: Pools, layout: str) -> None:
    for ours, theirs in pools.get(layout).run(compare_early_ends):
        assert ours == theirs
        assert ours[0] == min(BATCHES) and "exhausted" in ours[1]
