"""Compares ring_perf with the installed peers: an all_reduce of float32 SUM in place, at the same sizes.

What `benchmarks/run peers` does. In each of several rounds every contender runs once, in an order that
rotates: what disturbs the machine disturbs all of them. The table has the median over the rounds; the time of
a cache line between two cores, before and after, says how far it was disturbed.
"""

from __future__ import annotations

import csv
import os
import re
import statistics
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.program import ROOT, program, start

BUILD = ROOT / "build" / "cpp"
BUILD_SECONDS = 900
RING_PERF = BUILD / "ring_perf"
PEERS = ("openmpi", "intelmpi", "oneccl")
_AS_RING_PERF: dict[str, Any] = {"metavar": "VALUE", "help": "As of ring_perf."}
PING_PONG = re.compile(r"^# ping-pong of a cache line, (before|after): ([0-9.]+) ns")

Row = dict[str, str]


@dataclass
class Contender:
    """One library: how it is run, what it calls itself, and its rows by size, one of each round."""

    name: str
    command: list[str]
    title: str = ""
    rows: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def median(self, size: int, column: str) -> float | None:
        values = [float(row[column]) for row in self.rows[size] if row[column]]
        return statistics.median(values) if values else None


def contenders(options: list[str]) -> list[Contender]:
    found = [Contender("ring", [str(RING_PERF), *options, "-m", "csv"])]
    for peer in PEERS:
        if (ROOT / "build" / "peers" / peer).exists():
            found.append(Contender(peer, [str(ROOT / "benchmarks" / "peers" / "run"), peer, *options]))
    if len(found) == 1:
        raise SystemExit("peers: none is installed; run: benchmarks/peers/install")
    return found


def build_ring_perf() -> None:
    """Does nothing where all is up to date."""
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(BUILD), "-DRING_BENCH=ON"],
        ["cmake", "--build", str(BUILD), "--target", RING_PERF.name],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if done.returncode != 0:
            raise SystemExit(f"peers: ring_perf cannot be built:\n{done.stdout}{done.stderr}")


def run(contender: Contender, timeout: float) -> list[float]:
    """One round of it. Returns the times of a cache line, in ns, that it states: ring_perf does."""
    try:
        done = subprocess.run(contender.command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"peers: {contender.name} did not end within {timeout:.0f} s") from None
    lines = done.stdout.splitlines()
    head = next((i for i, line in enumerate(lines) if line.startswith("size_b,")), None)
    if done.returncode != 0 or head is None:
        raise SystemExit(
            f"peers: {contender.name} failed with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    contender.title = "libring" if contender.name == "ring" else lines[head - 1].lstrip("# ").split(",")[0]
    for row in csv.DictReader(line for line in lines[head:] if not line.startswith("#")):
        if int(row["wrong"]) > 0:
            raise SystemExit(
                f"peers: {contender.name} has {row['wrong']} wrong elements at {row['size_b']} bytes"
            )
        contender.rows[int(row["size_b"])].append(row)
    return [float(match[2]) for line in lines if (match := PING_PONG.match(line))]


def table(title: str, found: list[Contender], column: str, digits: int) -> Table:
    """By size: the median of each contender, the best in bold, libring's as a multiple of the best other."""
    made = Table(title=title)
    made.add_column("size (B)", justify="right")
    for contender in found:
        made.add_column(contender.name, justify="right")
    made.add_column("ring / best other", justify="right")
    for size in found[0].rows:
        medians = [contender.median(size, column) for contender in found]
        known = [value for value in medians if value is not None]
        if len(known) < len(medians):
            continue
        cells = [f"[bold]{v:.{digits}f}[/]" if v == min(known) else f"{v:.{digits}f}" for v in known]
        best = min(known[1:])
        made.add_row(str(size), *cells, f"{known[0] / best:.2f}" if best > 0 else "")
    return made


def write_csv(path: Path, found: list[Contender]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        columns = list(next(iter(found[0].rows.values()))[0])
        writer.writerow(["contender", "round", *columns])
        for contender in found:
            for rows in contender.rows.values():
                for number, row in enumerate(rows, start=1):
                    writer.writerow([contender.name, number, *(row[column] for column in columns)])


def main(
    ranks: Annotated[int, typer.Option("-n", min=1, metavar="RANKS", help="Ranks of each library.")] = 2,
    rounds: Annotated[int, typer.Option("--rounds", "-r", min=1, help="Turns of each library.")] = 5,
    first: Annotated[str | None, typer.Option("-b", **_AS_RING_PERF)] = None,
    last: Annotated[str | None, typer.Option("-e", **_AS_RING_PERF)] = None,
    factor: Annotated[str | None, typer.Option("-f", **_AS_RING_PERF)] = None,
    calls: Annotated[str | None, typer.Option("-i", **_AS_RING_PERF)] = None,
    untimed: Annotated[str | None, typer.Option("-w", **_AS_RING_PERF)] = None,
    csv_to: Annotated[
        Path | None, typer.Option("--csv", dir_okay=False, help="File for every round's rows.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one run.")] = 300,
) -> None:
    """Compare ring_perf with the installed peers: all_reduce of float32, SUM, in place, on this machine."""
    given = {"-n": str(ranks), "-b": first, "-e": last, "-f": factor, "-i": calls, "-w": untimed}
    options = [word for name, value in given.items() if value is not None for word in (name, value)]
    found = contenders(options)
    build_ring_perf()
    console = Console(soft_wrap=True)
    ping_pongs: list[float] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=rounds * len(found))
        for number in range(rounds):
            turn = number % len(found)
            for contender in found[turn:] + found[:turn]:
                progress.update(task, description=f"round {number + 1}: {contender.name}")
                ping_pongs += run(contender, timeout)
                progress.advance(task)
    names = ", ".join(f"{contender.name} = {contender.title}" for contender in found[1:])
    console.print(f"all_reduce of float32, SUM, in place, {ranks} ranks on {os.cpu_count()} cores; {names}")
    if ping_pongs:
        console.print(
            f"ping-pong of a cache line: {ping_pongs[0]:.0f} ns before, {ping_pongs[-1]:.0f} ns after, "
            f"{min(ping_pongs):.0f} .. {max(ping_pongs):.0f} ns between the rounds"
        )
    of_rounds = f"median of {rounds} rounds"
    console.print(table(f"time (us), {of_rounds}", found, "time_us", 2))
    cpu = table(f"CPU seconds per GB, all ranks, {of_rounds}", found, "cpu_s_per_gb", 3)
    if cpu.row_count > 0:
        console.print(cpu)
    if csv_to is not None:
        write_csv(csv_to, found)


app = program(main)

if __name__ == "__main__":
    start(app, "peers")
