"""What `benchmarks/run performance` does: measures each cluster, keeps the figures, has the page made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cluster import (
    Cluster,
    OnlyOption,
    OutOption,
    built,
    need_root,
    parse_clusters,
    run_torch_ring,
)
from benchmarks.performance import document, mpi
from benchmarks.performance.results import LinkReport, path_of
from benchmarks.program import DOCS, ROOT, DocsOption, program, start
from harness import Lab, Place
from torch_ring.cli.bench.report import Report

CLUSTERS = (
    "1x1,1x2,1x4,2x1@none,2x1@10gbit,2x1@1gbit,4x1@1gbit,8x1@1gbit,16x1@1gbit,2x2@1gbit,2x4@1gbit,4x2@1gbit"
)
SCALING_RATES = ("", "1gbit")
MAX_SCALING_RANKS = 8  # of more, the sleeping steps would wait for the cores
MAX_MPI_CALLS = 500


@dataclass(frozen=True)
class Effort:
    """Options of the commands, and how long iperf3 measures each link."""

    bench: list[str]
    ddp: list[str]
    simulate_ms: int
    iperf_seconds: int


FULL = Effort(bench=[], ddp=[], simulate_ms=450, iperf_seconds=3)
QUICK = Effort(
    bench=["--sizes", "4,64K,1M", "--rounds", "2", "--seconds", "0.05"],
    ddp=["--layers", "2", "--width", "64", "--batch", "2", "--tokens", "8", "--rounds", "1", "--steps", "2"],
    simulate_ms=20,
    iperf_seconds=1,
)


def goodput_gbit(lab: Lab, seconds: int) -> float:
    """What iperf3 gets through a link in each direction with both in use."""
    output = lab.netlab("check", str(seconds))
    found = re.search(r"both directions +([\d.]+) and back ([\d.]+) Mbit/s", output)
    if not found:
        raise SystemExit(f"performance: netlab check says:\n{output}")
    return min(float(found[1]), float(found[2])) / 1e3


def measure_collectives(cluster: Cluster, place: Place, effort: Effort, collective: str, out: Path) -> None:
    if cluster.ranks == 1:
        return
    goodput = goodput_gbit(place, effort.iperf_seconds) if isinstance(place, Lab) else None
    limit = [] if goodput is None else ["--limit-gbit", f"{goodput:.3f}"]
    path = path_of(out, cluster, "bench")
    options = ["--collective", collective, *limit, "--json", str(path)]
    run_torch_ring(cluster, place, ["bench", *effort.bench, *options])
    rows = [row for row in Report.read(path).rows if row.collective == "all_reduce"]
    calls = {row.bytes: min(row.calls, MAX_MPI_CALLS) for row in rows}
    open_mpi = mpi.measure(cluster, place, calls) if calls and mpi.is_installed() else None
    LinkReport(goodput, open_mpi).write(path_of(out, cluster, "link"))


def measure_ddp(cluster: Cluster, place: Place, effort: Effort, out: Path) -> None:
    command = ["bench-ddp", *effort.ddp]
    if 1 < cluster.ranks <= len(os.sched_getaffinity(0)):  # with a core for each rank's computation
        run_torch_ring(cluster, place, [*command, "--json", str(path_of(out, cluster, "ddp"))])
    scales = cluster.hosts > 1 or cluster.ranks == 1
    if scales and cluster.rate in SCALING_RATES and cluster.ranks <= MAX_SCALING_RANKS:
        command += ["--simulate", str(effort.simulate_ms)]
        run_torch_ring(cluster, place, [*command, "--json", str(path_of(out, cluster, "scaling"))])


def main(
    only: OnlyOption = CLUSTERS,
    collective: Annotated[str, typer.Option(help="As torch-ring bench takes it.")] = "all_reduce",
    ddp: Annotated[bool, typer.Option(help="Also train with DDP.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Little of everything, to try it out.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Measure nothing, write the document.")] = False,
    out: OutOption = ROOT / "build" / "performance",
    docs: DocsOption = DOCS,
) -> None:
    """Measure ring, gloo and Open MPI over hosts x ranks x rates, and write docs/performance.md.

    Hosts are network namespaces (scripts/netlab), so this needs root; without hosts in a cluster it does not.
    Figures of clusters that are not measured now stay in the document.
    """
    clusters = parse_clusters(only)
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if not report:
        need_root(clusters)
        effort = QUICK if quick else FULL
        for cluster in clusters:
            typer.echo(f"performance: {cluster}")
            with built(cluster) as place:
                measure_collectives(cluster, place, effort, collective, out)
                if ddp:
                    measure_ddp(cluster, place, effort, out)
    path = document.write(out, docs.resolve(), MAX_MPI_CALLS)
    typer.echo(f"performance: {path}")


app = program(main)

if __name__ == "__main__":
    start(app, "performance")
