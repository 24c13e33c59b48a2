"""What the ranks do: make groups and look at themselves, or form one and time it. Started by measure.py.

python -m benchmarks.groups.rank BACKEND GROUPS FILE     (as a rank; rank 0 writes the file)
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed as dist

from harness.proc import Footprint
from torch_ring.cli.groups import joined

SETTLE = 1.0  # seconds after which a thread that only prepares something has ended


def form(backend: str, more: int) -> list[float]:
    """Seconds from init_process_group until the first all_reduce is done; from new_group, `more` times."""
    seconds: list[float] = []
    for number in range(1 + more):
        if number > 0:
            dist.barrier()
        begin = time.perf_counter()
        if number == 0:
            dist.init_process_group(backend)
            group = None
        else:
            group = dist.new_group()
        dist.all_reduce(torch.ones(1), group=group)
        seconds.append(time.perf_counter() - begin)
    return seconds


def new_group(backend: str) -> dist.ProcessGroup:
    """In use: what it makes only when it is needed is there."""
    group = dist.new_group(backend=backend)
    assert isinstance(group, dist.ProcessGroup)
    for _ in range(2):
        dist.all_reduce(torch.ones(1000), group=group)
        dist.barrier(group=group)
    return group


def grow(backend: str, counts: list[int], file: Path) -> None:
    """Writes each rank's footprint: at the start, after a group that is gone, with each count of groups."""
    with joined([]) as groups:

        def look() -> list[dict[str, int]]:
            groups.meet()
            return groups.gather(asdict(Footprint.of(os.getpid())))

        look()  # it takes some memory the first time
        seen = [look()]
        dist.destroy_process_group(new_group(backend))
        time.sleep(SETTLE)
        seen.append(look())
        alive: list[dist.ProcessGroup] = []
        for count in counts:
            while len(alive) < count:
                alive.append(new_group(backend))
            seen.append(look())
        if groups.rank == 0:
            file.write_text(json.dumps(seen))


if __name__ == "__main__":
    grow(sys.argv[1], [int(count) for count in sys.argv[2].split(",")], Path(sys.argv[3]))
