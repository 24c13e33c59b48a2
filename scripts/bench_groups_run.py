"""What scripts/bench_groups does: measures what a group takes of a process, and how long forming one takes.

Prints docs/groups.md. Runs in the virtual environment, with the root of the project on PYTHONPATH, whose
harness starts ranks, made-up hosts among them.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from torch._C._distributed_c10d import TCPStore

import bench_groups_rank
from harness import Job, Layout, Loopback, Place
from harness.proc import Footprint
from torch_ring.cli import launch, machine, options
from torch_ring.cli.sample import rotated
from torch_ring.cli.units import show_bytes, show_time

DEADLINE = 60.0  # seconds for a group to form
MORE = 5  # groups that are formed after the first one

Footprints = list[list[Footprint]]  # at each look, of each rank


def footprints(layout: Layout, backend: str, counts: Sequence[int]) -> Footprints:
    """In interpreters of their own: forked processes share memory with their parent, and less and less."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    where = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    with tempfile.TemporaryDirectory(prefix="bench_groups") as folder, Loopback() as place:
        file = Path(folder, "footprints.json")
        numbers = ",".join(map(str, counts))
        command = [sys.executable, bench_groups_rank.__file__, backend, numbers, str(file)]
        commands = []
        for rank in layout.ranks:
            host = layout.host_of(rank)
            env = launch.rank_env(
                rank, layout.world_size, layout.local_rank_of(rank), layout.ranks_per_host[host]
            )
            commands.append(launch.Command(command, where | env | place.host_env(layout, host)))
        if launch.run(commands):
            raise SystemExit(f"bench_groups: {layout} over {backend} failed")
        return [[Footprint(**each) for each in look] for look in json.loads(file.read_text())]


def growth(before: Sequence[Footprint], after: Sequence[Footprint], groups: int) -> list[str]:
    """Cells: threads, descriptors and memory per group, of the rank that has most of each."""
    pairs = list(zip(before, after, strict=True))
    threads = max(new.threads - old.threads for old, new in pairs) / groups
    descriptors = max(new.descriptors - old.descriptors for old, new in pairs) / groups
    memory = max(new.proportional - old.proportional for old, new in pairs) / groups
    return [f"{threads:.3g}", f"{descriptors:.3g}", show_bytes(max(0.0, memory))]


def forming_times(place: Place, ranks: int, backend: str) -> tuple[float, float]:
    """Of the first group, and the median of later ones; slowest rank, each a process with torch alone."""
    with Job(place, f"1x{ranks}") as job:
        of_ranks = job.run(bench_groups_rank.form, backend, MORE, deadline=DEADLINE)
    first, *later = [max(seconds) for seconds in zip(*of_ranks, strict=True)]
    return first, statistics.median(later)


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int) -> None:
    print("| " + " | ".join(heading) + " |")
    print("|" + "|".join("---" if i < numbers_from else "--:" for i in range(len(heading))) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


SHARED = """\
What the ranks of a host share is charged to the memory cgroup of the rank that touches it first, page by
page. A group of n ranks on a host takes some 4 KB for each of them when it is formed, up to 3.25 MB for
each of them once large collectives have run, and up to 2 MB for each pair that sends messages: with 2, 4, 8
and 16 ranks at most 14.5, 45, 155 and 566 MB. It is given back when all ranks of the host have destroyed
the group, or died, whoever still refers to it. Where `memfd_create` is refused all of it is taken at once:
see [linux.md](linux.md).
"""


def print_footprints(layouts: Sequence[Layout], backends: Sequence[str], counts: Sequence[int]) -> None:
    print(
        "What a group takes of each rank's process; memory is the proportional set size. Hosts are made up.\n"
    )
    rows = []
    for layout in layouts:
        for backend in backends:
            start, warm, *looks = footprints(layout, backend, counts)
            rows.append([str(layout), backend, "once per process", *growth(start, warm, 1)])
            for count, look in zip(counts, looks, strict=True):
                rows.append([str(layout), backend, f"per group, {count} alive", *growth(warm, look, count)])
    print_table(["hosts x ranks", "backend", "what", "threads", "descriptors", "memory"], rows, 3)
    print(SHARED)


def print_times(sizes: Sequence[int], backends: Sequence[str], rounds: int) -> None:
    seconds: dict[tuple[int, str], list[tuple[float, float]]] = {}
    with Loopback(modules=[bench_groups_rank.__name__]) as place:
        for size in sizes:
            for number in range(rounds):
                for backend in rotated(list(backends), number):
                    seconds.setdefault((size, backend), []).append(forming_times(place, size, backend))
    for which, what in enumerate(["init_process_group", "new_group, of all ranks,"]):
        print(f"From {what} to the end of the first all_reduce: slowest rank, median of {rounds}.")
        if which == 0:
            print("Where it takes a second, torch's store, the same for all, waited for a silent resolver.")
        print()
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
        print_table(["ranks on one host", *backends, *ratios], rows, 0)


def parse_numbers(option: str, text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise options.refuse(option, f"'{text}': allowed are numbers from 1 on, such as 2,4,8")
    return sorted({int(number) for number in numbers})


def parse_layouts(text: str) -> list[Layout]:
    try:
        layouts = [Layout.parse(each) for each in text.split(",")]
    except ValueError:
        layouts = []
    if not layouts or any(layout.world_size < 1 for layout in layouts):
        raise options.refuse("--layouts", f"'{text}': allowed are HOSTSxRANKS, such as 1x2,2x2")
    return layouts


def main(
    backends: Annotated[
        str, typer.Option(help="Backends to compare; the first is the measure.")
    ] = "ring,gloo",
    layouts: Annotated[
        str, typer.Option(help="HOSTSxRANKS of the footprints; hosts are made up.")
    ] = "1x2,2x2",
    groups: Annotated[str, typer.Option(help="How many groups are alive.")] = "1,10,100",
    ranks: Annotated[str, typer.Option(help="Ranks of the groups whose forming is timed.")] = "2,4,8,16",
    rounds: Annotated[int, typer.Option(min=1, help="Times that each backend forms each group.")] = 9,
) -> None:
    """Measure what groups cost over several backends: threads, descriptors, memory, time to form one."""
    names = options.backends(backends, under_launcher=False)
    places = parse_layouts(layouts)
    counts, sizes = parse_numbers("--groups", groups), parse_numbers("--ranks", ranks)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that ranks are ended
    print("# What groups cost\n\nMeasured by `scripts/bench_groups`, on:")
    print(", ".join(f"{key} {value}" for key, value in machine.describe().items()) + ".\n", flush=True)
    print_footprints(places, names, counts)
    print_times(sizes, names, rounds)


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(main)

if __name__ == "__main__":
    app(prog_name="scripts/bench_groups")
