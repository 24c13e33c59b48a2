"""Groups that come and go leave nothing behind: no descriptor, no thread, no shared memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch.distributed as dist

from harness import Job, Pools
from harness.proc import descriptors
from support.faults import reduce_forever

SHARED_MEMORY = Path("/dev/shm")


def use_new_groups(times: int) -> tuple[int, int]:
    """How many descriptors and threads this rank has after so many groups.

    The fewest of a quarter of a second: what registers the process for membarrier ends some time after the
    first group has been made.
    """
    for _ in range(times):
        group = dist.new_group(list(range(dist.get_world_size())))
        dist.barrier(group=group)
        dist.destroy_process_group(group)
    dist.barrier()
    threads = []
    for _ in range(25):
        threads.append(len(list(Path("/proc/self/task").iterdir())))
        time.sleep(0.01)
    return len(descriptors(os.getpid())), min(threads)


def shared_segments() -> set[str]:
    return {entry.name for entry in SHARED_MEMORY.iterdir() if "ring" in entry.name.lower()}


@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_groups_give_everything_back(pools: Pools, layout: str) -> None:
    job = pools.get(layout)
    before = job.run(use_new_groups, 2)
    assert job.run(use_new_groups, 8) == before


@pytest.mark.parametrize("layout", ["1x2", "2x2"])
def test_killed_ranks_leave_no_shared_memory(launch: Callable[..., Job], layout: str) -> None:
    before = shared_segments()
    job = launch(layout).init()
    job.submit(reduce_forever, 1_000_000)
    time.sleep(0.3)
    job.kill_all()
    left = shared_segments() - before
    time.sleep(1)  # what is still there then is not another job's that comes and goes at the same time
    assert not left & shared_segments()
