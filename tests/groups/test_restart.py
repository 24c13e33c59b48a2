"""A new start after the end: the same ranks or others, through the same store or another."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore

from harness import BACKEND, Job, init_group
from harness.worker import destroy_group


def sum_of_ranks(numel: int = 100_000) -> float:
    tensor = torch.full((numel,), float(dist.get_rank()))
    dist.all_reduce(tensor)
    return float(tensor[-1])


def common_store() -> TCPStore:
    """That of the job, to meet in before there is a group."""
    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def start_again(times: int, same_store: bool) -> list[float]:
    sums = []
    store = common_store()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    for number in range(times):
        if same_store:
            init_group()
        else:
            fresh = PrefixStore(f"start {number}", store)
            dist.init_process_group(BACKEND, store=fresh, rank=rank, world_size=size)
        sums.append(sum_of_ranks())
        destroy_group()
    return sums


def start_with_others(sizes: list[int], folder: str) -> list[float | None]:
    """The ranks below each size form a group, turned round, so that most have another rank each time."""
    store = common_store()
    own = int(os.environ["RANK"])
    sums: list[float | None] = []
    for number, size in enumerate(sizes):
        if own >= size:
            sums.append(None)
            continue
        rank = (own + number) % size
        if number % 2:
            where = f"file://{folder}/start{number}"
            dist.init_process_group(BACKEND, init_method=where, rank=rank, world_size=size)
        else:
            fresh = PrefixStore(f"start {number}", store)
            dist.init_process_group(BACKEND, store=fresh, rank=rank, world_size=size)
        assert dist.get_rank() == rank
        half = dist.new_group(list(range((size + 1) // 2)))
        if rank < (size + 1) // 2:
            dist.barrier(group=half)  # it ends with the default group
        sums.append(sum_of_ranks())
        destroy_group()
    return sums


def start_after_abort(times: int) -> list[float]:
    """As a trainer does that goes on after an error: nothing of the aborted group is in the new one's way."""
    sums = []
    for number in range(times):
        init_group()
        sums.append(sum_of_ranks())
        with pytest.raises(dist.DistBackendError, match="abort"):
            dist.barrier()  # has everybody's sum; some may still be inside when the first to leave aborts
            if dist.get_rank() == number % dist.get_world_size():
                world = dist.group.WORLD
                assert world is not None
                world.abort()
            while True:
                sum_of_ranks(10)
        destroy_group()
    return sums


@pytest.mark.parametrize("same_store", [False, True], ids=["fresh_store", "same_store"])
@pytest.mark.parametrize("layout", ["1x2", "2+1", "3x1"])
def test_a_new_start_after_destroy(launch: Callable[..., Job], layout: str, same_store: bool) -> None:
    """Under torchrun the store is the same, so that the first group's keys are still in it."""
    job = launch(layout)
    total = float(sum(job.layout.ranks))
    assert job.run(start_again, 3, same_store, deadline=15) == [[total] * 3] * job.layout.world_size


@pytest.mark.parametrize("layout", ["1x4", "2x2", "4x1"])
def test_a_new_start_with_other_ranks(launch: Callable[..., Job], layout: str, tmp_path: Path) -> None:
    sizes = [2, 4, 3, 1, 4, 2]
    found = launch(layout).run(start_with_others, sizes, str(tmp_path))
    for rank, sums in enumerate(found):
        assert sums == [float(sum(range(size))) if rank < size else None for size in sizes]


@pytest.mark.parametrize("layout", ["1x3", "2+1"])
def test_a_new_start_after_abort(launch: Callable[..., Job], layout: str) -> None:
    assert launch(layout).run(start_after_abort, 4) == [[3.0] * 4] * 3
