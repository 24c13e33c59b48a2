"""Compares ring_perf with the installed peers: an all_reduce of float32 SUM in place, at the same sizes.

Called by `scripts/peers compare`, which builds ring_perf first. In each of several rounds every contender
runs once, in an order that rotates: what disturbs the machine disturbs all of them. The table has the median
over the rounds; the time of a cache line between two cores, before and after, says how far it was disturbed.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RING_PERF = ROOT / "build" / "cpp" / "ring_perf"
PEERS = ("openmpi", "intelmpi", "oneccl")
PASSED_ON = ("-b", "-e", "-f", "-i", "-w")
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


def contenders(arguments: argparse.Namespace) -> list[Contender]:
    options = ["-n", str(arguments.ranks)]
    for option in PASSED_ON:
        value = getattr(arguments, option[1:])
        options += [option, value] if value is not None else []
    found = [Contender("ring", [str(RING_PERF), *options, "-m", "csv"])]
    for peer in PEERS:
        if (ROOT / "build" / "peers" / peer).exists():
            found.append(Contender(peer, [str(ROOT / "scripts" / "peers"), "run", peer, *options]))
    if len(found) == 1:
        sys.exit("peers: none is installed; run: scripts/peers install")
    return found


def run(contender: Contender, timeout: float) -> list[float]:
    """One round of it. Returns the times of a cache line, in ns, that it states: ring_perf does."""
    try:
        done = subprocess.run(contender.command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        sys.exit(f"peers: {contender.name} did not end within {timeout:.0f} s")
    lines = done.stdout.splitlines()
    head = next((i for i, line in enumerate(lines) if line.startswith("size_b,")), None)
    if done.returncode != 0 or head is None:
        sys.exit(f"peers: {contender.name} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    contender.title = "libring" if contender.name == "ring" else lines[head - 1].lstrip("# ").split(",")[0]
    for row in csv.DictReader(line for line in lines[head:] if not line.startswith("#")):
        if int(row["wrong"]) > 0:
            sys.exit(f"peers: {contender.name} has {row['wrong']} wrong elements at {row['size_b']} bytes")
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/peers compare", description=__doc__.splitlines()[0])
    parser.add_argument("-n", dest="ranks", metavar="RANKS", type=int, default=2, help="ranks (2)")
    parser.add_argument("-r", "--rounds", type=int, default=5, help="rounds (5)")
    for option in PASSED_ON:
        parser.add_argument(option, metavar="VALUE", help="as of ring_perf")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write every round's rows there")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one run (300)")
    arguments = parser.parse_args()
    if arguments.ranks < 1 or arguments.rounds < 1:
        parser.error("-n and --rounds must be at least 1")
    return arguments


def main() -> None:
    arguments = parse()
    found = contenders(arguments)
    console = Console(soft_wrap=True)
    ping_pongs: list[float] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=arguments.rounds * len(found))
        for number in range(arguments.rounds):
            turn = number % len(found)
            for contender in found[turn:] + found[:turn]:
                progress.update(task, description=f"round {number + 1}: {contender.name}")
                ping_pongs += run(contender, arguments.timeout)
                progress.advance(task)
    names = ", ".join(f"{contender.name} = {contender.title}" for contender in found[1:])
    console.print(
        f"all_reduce of float32, SUM, in place, {arguments.ranks} ranks on {os.cpu_count()} cores; {names}"
    )
    if ping_pongs:
        console.print(
            f"ping-pong of a cache line: {ping_pongs[0]:.0f} ns before, {ping_pongs[-1]:.0f} ns after, "
            f"{min(ping_pongs):.0f} .. {max(ping_pongs):.0f} ns between the rounds"
        )
    rounds = f"median of {arguments.rounds} rounds"
    console.print(table(f"time (us), {rounds}", found, "time_us", 2))
    cpu = table(f"CPU seconds per GB, all ranks, {rounds}", found, "cpu_s_per_gb", 3)
    if cpu.row_count > 0:
        console.print(cpu)
    if arguments.csv is not None:
        write_csv(arguments.csv, found)


if __name__ == "__main__":
    main()
