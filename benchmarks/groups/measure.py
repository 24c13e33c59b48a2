"""Has ranks make groups, and collects what they see. Called by __main__.py; the ranks run rank.py."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch._C._distributed_c10d import TCPStore

from benchmarks.cluster import run_ranks
from benchmarks.groups import rank
from harness import Job, Layout, Loopback, Place
from harness.proc import Footprint
from torch_ring.cli.sample import rotated

DEADLINE = 60.0  # seconds for a group to form
MORE = 5  # groups that are formed after the first one

Looks = list[list[Footprint]]  # at each look, of each rank
Footprints = dict[tuple[Layout, str], Looks]  # by layout and backend
# By number of ranks and backend, for each round: seconds of the first group, and the median of later ones.
FormingTimes = dict[tuple[int, str], list[tuple[float, float]]]


def footprints(layouts: Sequence[Layout], backends: Sequence[str], counts: Sequence[int]) -> Footprints:
    """At the start, after a group that is gone, and with each count of groups."""
    return {
        (layout, backend): _footprints(layout, backend, counts) for layout in layouts for backend in backends
    }


def _footprints(layout: Layout, backend: str, counts: Sequence[int]) -> Looks:
    """In interpreters of their own: forked processes share memory with their parent, and less and less."""
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    store = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(server.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    with tempfile.TemporaryDirectory(prefix="benchmark-groups-") as folder, Loopback() as place:
        file = Path(folder, "footprints.json")
        command = [sys.executable, "-m", rank.__name__, backend, ",".join(map(str, counts)), str(file)]
        if run_ranks(layout, place, command, store):
            raise SystemExit(f"groups: {layout} over {backend} failed")
        return [[Footprint(**each) for each in look] for look in json.loads(file.read_text())]


def forming_times(sizes: Sequence[int], backends: Sequence[str], rounds: int) -> FormingTimes:
    """Of groups of so many ranks on one host; the backends take turns."""
    seconds: FormingTimes = {}
    with Loopback([rank.__name__]) as place:
        for size in sizes:
            for number in range(rounds):
                for backend in rotated(list(backends), number):
                    seconds.setdefault((size, backend), []).append(_forming_times(place, size, backend))
    return seconds


def _forming_times(place: Place, ranks: int, backend: str) -> tuple[float, float]:
    """The slowest rank's; each is a process with torch alone."""
    with Job(place, f"1x{ranks}") as job:
        of_ranks = job.run(rank.form, backend, MORE, deadline=DEADLINE)
    first, *later = [max(seconds) for seconds in zip(*of_ranks, strict=True)]
    return first, statistics.median(later)
