"""barrier: nobody leaves before everybody has come."""

from __future__ import annotations

import time

import pytest
import torch.distributed as dist

from harness import Pools
from harness.layout import LAYOUTS


def pass_barrier(late: int) -> tuple[float, float]:
    if dist.get_rank() == late:
        time.sleep(0.1)
    came = time.monotonic()
    dist.barrier()
    return came, time.monotonic()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nobody_leaves_early(pools: Pools, layout: str) -> None:
    job = pools.get(layout)
    for late in job.layout.ranks:
        times = job.run(pass_barrier, late)
        assert min(left for _, left in times) >= max(came for came, _ in times)
