"""The page docs/groups.md, from what measure.py finds. Called by __main__.py."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.groups.measure import Footprints, FormingTimes
from harness.proc import Footprint
from torch_ring.cli import system
from torch_ring.cli.units import show_bytes, show_time

SHARED = """\
What the ranks of a host share is charged, page by page, to the memory cgroup of the rank that touches the
page first. A group takes some 4 KB for each rank of the host when it is formed, up to 3.25 MB for each once
large collectives have run, and up to 2 MB for each pair that sends messages: with 2, 4, 8 and 16 ranks at
most 14.5, 45, 155 and 566 MB. It is given back when all ranks of the host have destroyed the group, or died,
even if Python objects still refer to it. Where `memfd_create` is refused all of it is taken at once: see
[linux.md](linux.md).
"""
# By what a group is formed, first and later, and what there is to say of the times.
FORMED_BY = (
    (
        "init_process_group",
        "Where it takes a second, torch's store, which both use, waited for a name server in vain.\n",
    ),
    ("new_group, of all ranks,", ""),
)


def introduction() -> str:
    about = ", ".join(f"{key} {value}" for key, value in system.describe().items())
    return f"# What groups cost\n\nMeasured by `benchmarks/run groups`, on:\n{about}.\n"


def about_footprints(found: Footprints, counts: Sequence[int]) -> str:
    rows = []
    for (layout, backend), (start, warm, *looks) in found.items():
        rows.append([str(layout), backend, "once per process", *growth(start, warm, 1)])
        for count, look in zip(counts, looks, strict=True):
            rows.append([str(layout), backend, f"per group, {count} alive", *growth(warm, look, count)])
    what = (
        "What a group takes of each rank's process; memory is the proportional set size. All ranks run on\n"
        "one machine, which `TORCH_RING_HOST_ID` divides into hosts.\n"
    )
    headings = ["hosts x ranks", "backend", "what", "threads", "descriptors", "memory"]
    return "\n".join([what, table(headings, rows, 3), SHARED])


def growth(before: Sequence[Footprint], after: Sequence[Footprint], groups: int) -> list[str]:
    """Cells: threads, descriptors and memory per group, of the rank that has most of each."""
    pairs = list(zip(before, after, strict=True))
    threads = max(new.threads - old.threads for old, new in pairs) / groups
    descriptors = max(new.descriptors - old.descriptors for old, new in pairs) / groups
    memory = max(new.proportional - old.proportional for old, new in pairs) / groups
    return [f"{threads:.3g}", f"{descriptors:.3g}", show_bytes(max(0.0, memory))]


def about_times(sizes: Sequence[int], backends: Sequence[str], rounds: int, seconds: FormingTimes) -> str:
    parts = []
    for which, (what, remark) in enumerate(FORMED_BY):
        parts.append(
            f"From {what} to the end of the first all_reduce: slowest rank, median of {rounds}.\n{remark}"
        )
        rows = []
        for size in sizes:
            of_backends = [[times[which] for times in seconds[size, backend]] for backend in backends]
            medians = [statistics.median(times) for times in of_backends]
            cells = [
                f"{show_time(median)} ({show_time(min(times))} .. {show_time(max(times))})"
                for median, times in zip(medians, of_backends, strict=True)
            ]
            ratios = [f"{median / medians[0]:.2f}" for median in medians[1:]]
            rows.append([str(size), *cells, *ratios])
        ratios = [f"{backend} / {backends[0]}" for backend in backends[1:]]
        parts.append(table(["ranks on one host", *backends, *ratios], rows, 0))
    return "\n".join(parts)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int) -> str:
    rule = ["---" if column < numbers_from else "--:" for column in range(len(heading))]
    lines = ["| " + " | ".join(heading) + " |", "|" + "|".join(rule) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
