"""FullyShardedDataParallel trains over ring as it does over gloo, however it shards."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import (
    FullStateDictConfig,
    FullyShardedDataParallel,
    ShardingStrategy,
    StateDictType,
)
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from harness import Pools
from support.training import batches, check_pairs, make_model, over_both

LINEAR = ModuleWrapPolicy([torch.nn.Linear])
Groups = dist.ProcessGroup | tuple[dist.ProcessGroup, dist.ProcessGroup]


def train(groups: Groups, strategy: ShardingStrategy) -> torch.Tensor:
    """All parameters after a few steps, put together again, and the norms of the gradients."""
    sharded = FullyShardedDataParallel(
        make_model(),
        process_group=groups,
        sharding_strategy=strategy,
        auto_wrap_policy=LINEAR,
        device_id=torch.device("cpu"),
    )
    optimizer = torch.optim.Adam(sharded.parameters(), lr=0.01)
    norms = []
    for inputs in batches():
        optimizer.zero_grad()
        sharded(inputs).square().mean().backward()
        norms.append(sharded.clip_grad_norm_(0.5))
        optimizer.step()
    everything = FullStateDictConfig(offload_to_cpu=False, rank0_only=False)
    with FullyShardedDataParallel.state_dict_type(sharded, StateDictType.FULL_STATE_DICT, everything):
        values = sharded.state_dict().values()
    return torch.cat([value.flatten() for value in values] + [torch.stack(norms)])


def compare(strategy: str) -> tuple[torch.Tensor, torch.Tensor]:
    return over_both(lambda group: train(group, ShardingStrategy[strategy]))


def train_hybrid(group: dist.ProcessGroup, strategy: ShardingStrategy) -> torch.Tensor:
    """Shards inside each pair of neighbours, copies between the pairs."""
    backend, rank = dist.get_backend(group), dist.get_rank()
    pairs = [dist.new_group(ranks, backend=backend) for ranks in ([0, 1], [2, 3])]
    copies = [dist.new_group(ranks, backend=backend) for ranks in ([0, 2], [1, 3])]
    own = pairs[rank // 2], copies[rank % 2]
    result = train(own, strategy)
    for each in own:
        dist.destroy_process_group(each)
    return result


def compare_hybrid(strategy: str) -> tuple[torch.Tensor, torch.Tensor]:
    return over_both(lambda group: train_hybrid(group, ShardingStrategy[strategy]))


def check(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    check_pairs(pairs)
    for ours, _ in pairs:
        assert torch.equal(ours, pairs[0][0]), "the ranks trained different models"


@pytest.mark.parametrize("strategy", ["FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD"])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_as_over_gloo(pools: Pools, layout: str, strategy: str) -> None:
    check(pools.get(layout).run(compare, strategy))


@pytest.mark.parametrize("strategy", ["HYBRID_SHARD", "_HYBRID_SHARD_ZERO2"])
@pytest.mark.parametrize("layout", ["2x2"])
def test_hybrid_as_over_gloo(pools: Pools, layout: str, strategy: str) -> None:
    check(pools.get(layout).run(compare_hybrid, strategy))
