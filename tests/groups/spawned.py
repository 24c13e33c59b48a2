"""What test_launchers.py spawns: a module that imports little, for each process imports it anew."""

from __future__ import annotations

import atexit
from pathlib import Path

import torch
import torch.distributed as dist


def work(rank: int, size: int, backend: str, store: str) -> None:
    """Joins a group and uses it and a subgroup."""
    dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=size)
    for members in (None, [0, size - 1]):
        group = dist.new_group(members)
        if members is None or rank in members:
            tensor = torch.full((10_000,), float(rank))
            dist.all_reduce(tensor, group=group)
            assert tensor[-1] == sum(range(size) if members is None else members)
    dist.destroy_process_group()


def leave(rank: int, size: int, backend: str, store: str) -> None:
    """Rank 0 just returns; the others, who call once more, are told that it left, and not that it died."""
    dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=size)
    dist.all_reduce(torch.ones(1000))
    if rank == 0:
        return
    try:
        dist.all_reduce(torch.ones(1000))
    except dist.DistBackendError as error:
        if "rank 0" in str(error) and "left the group" in str(error):
            return
        raise
    raise AssertionError("no error")


def clean_up(rank: int, size: int, backend: str, store: str) -> None:
    """Uses a group when the process ends, as what was registered before the group was made may do."""
    atexit.register(_all_reduce_at_the_end, Path(f"{store}.{rank}"))
    dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=size)


def _all_reduce_at_the_end(report: Path) -> None:
    tensor = torch.ones(3)
    dist.all_reduce(tensor)
    report.write_text(str(tensor.tolist()))
    dist.destroy_process_group()
