"""Many calls, many ranks for few cores, and none at all."""

from __future__ import annotations

import time

import pytest
import torch
import torch.distributed as dist

from harness import Pools
from harness.proc import cpu_seconds


def reduce_many(times: int) -> float:
    """Seconds that it took."""
    rank, size = dist.get_rank(), dist.get_world_size()
    started = time.monotonic()
    for number in range(times):
        tensor = torch.tensor([rank, number, rank * number])
        dist.all_reduce(tensor)
        ranks = size * (size - 1) // 2
        assert tensor.tolist() == [ranks, size * number, ranks * number], f"wrong in call {number}"
    return time.monotonic() - started


@pytest.mark.parametrize("layout", ["1x2", "1x4", "4x1", "2x2", "2+1"])
def test_a_thousand_small_calls(pools: Pools, layout: str) -> None:
    pools.get(layout).run(reduce_many, 1000, deadline=60)


@pytest.mark.parametrize("layout", ["1x8", "3x2"])
def test_more_ranks_than_cores(pools: Pools, layout: str) -> None:
    assert max(pools.get(layout).run(reduce_many, 200, deadline=60)) < 10


@pytest.mark.parametrize("layout", ["1x2", "2x2"])
def test_an_idle_group_uses_no_cpu(pools: Pools, layout: str) -> None:
    job = pools.get(layout)
    job.run(reduce_many, 10)
    time.sleep(0.2)  # for whatever spins a little before it goes to sleep
    before = [cpu_seconds(process.pid) for process in job.processes]
    time.sleep(1.5)
    used = [cpu_seconds(process.pid) - start for process, start in zip(job.processes, before, strict=True)]
    assert max(used) < 0.03 * 1.5, f"CPU seconds of the ranks in 1.5 s: {used}"
