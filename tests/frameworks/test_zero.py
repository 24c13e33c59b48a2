"""ZeroRedundancyOptimizer, alone and overlapped with DDP, trains over ring as it does over gloo."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from harness import Pools
from support.training import batches, check_pairs, make_model, over_both, parameters_of

OVERLAP_BEGINS = 2  # batches that DDP needs to find its buckets, and ZeRO does not learn from


def train(group: dist.ProcessGroup, parameters_as_bucket_view: bool) -> torch.Tensor:
    # Imported here, as the module warns of torch.jit's end: no news for those who run the tests.
    from torch.distributed.optim import ZeroRedundancyOptimizer

    parallel = DistributedDataParallel(make_model(), process_group=group, bucket_cap_mb=0.001)
    optimizer = ZeroRedundancyOptimizer(
        parallel.parameters(),
        torch.optim.Adam,
        process_group=group,
        parameters_as_bucket_view=parameters_as_bucket_view,
        lr=0.01,
    )
    for inputs in batches():
        optimizer.zero_grad()
        parallel(inputs).square().mean().backward()
        optimizer.step()
    # The state of all ranks' shards, as rank 1 gathers it for a checkpoint.
    optimizer.consolidate_state_dict(to=1)
    if dist.get_rank() != 1:
        return parameters_of(parallel)
    states = optimizer.state_dict()["state"]
    assert len(states) == len(list(parallel.parameters()))
    averages = [state["exp_avg"].flatten() for _, state in sorted(states.items())]
    return torch.cat([parameters_of(parallel), *averages])


def train_overlapped() -> tuple[torch.Tensor, torch.Tensor]:
    """The optimizer steps inside DDP's communication hook, and broadcasts its shard there; and as usual."""
    from torch.distributed.algorithms.ddp_comm_hooks import ddp_zero_hook, default_hooks
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = make_model()
    parallel = DistributedDataParallel(model, bucket_cap_mb=0.001, gradient_as_bucket_view=True)
    optimizer: Any = ZeroRedundancyOptimizer(
        model.parameters(), torch.optim.SGD, overlap_with_ddp=True, lr=0.1
    )
    hook = ddp_zero_hook.hook_with_zero_step(default_hooks.allreduce_hook, parallel, optimizer)
    parallel.register_comm_hook(None, hook)
    for inputs in batches(steps=6):
        parallel.zero_grad()
        parallel(inputs).square().mean().backward()

    usual = DistributedDataParallel(make_model(), bucket_cap_mb=0.001)
    stepper = torch.optim.SGD(usual.parameters(), lr=0.1)
    for step, inputs in enumerate(batches(steps=6)):
        stepper.zero_grad()
        usual(inputs).square().mean().backward()
        if step >= OVERLAP_BEGINS:
            stepper.step()
    return parameters_of(parallel), parameters_of(usual)


def compare(parameters_as_bucket_view: bool) -> tuple[torch.Tensor, torch.Tensor]:
    return over_both(lambda group: train(group, parameters_as_bucket_view))


@pytest.mark.parametrize("views", [False, True], ids=["own_parameters", "bucket_views"])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_as_over_gloo(pools: Pools, layout: str, views: bool) -> None:
    check_pairs(pools.get(layout).run(compare, views))


def test_overlapped_trains_as_usual(pools: Pools) -> None:
    """For gloo torch refuses this, so the comparison is with the plain optimizer.

    The interleaved form is for NCCL alone: its callbacks start broadcasts, and so the order of collectives
    would differ from rank to rank where callbacks run when the data are there.
    """
    check_pairs(pools.get("1x2").run(train_overlapped))
