"""What scripts/bench_lab does: measures each layout, keeps the figures as JSON, and has the document written.

Runs in the virtual environment, and as root, because it builds network labs.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import bench_lab_mpi
import bench_lab_report
from bench_lab_places import ROOT, Layout, Place, built
from bench_lab_results import LinkReport, path_of
from torch_ring.cli.bench.report import Report

LAYOUTS = (
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


def measure_collectives(place: Place, effort: Effort, collective: str, out: Path) -> None:
    if place.layout.ranks == 1:
        return
    goodput = place.goodput_gbit(effort.iperf_seconds)
    limit = [] if goodput is None else ["--limit-gbit", f"{goodput:.3f}"]
    path = path_of(out, place.layout, "bench")
    place.torch_ring(["bench", *effort.bench, "--collective", collective, *limit, "--json", str(path)])
    rows = [row for row in Report.read(path).rows if row.collective == "all_reduce"]
    calls = {row.bytes: min(row.calls, MAX_MPI_CALLS) for row in rows}
    mpi = bench_lab_mpi.measure(place, calls) if calls and bench_lab_mpi.is_installed() else None
    LinkReport(goodput, mpi).write(path_of(out, place.layout, "link"))


def measure_ddp(place: Place, effort: Effort, out: Path) -> None:
    layout = place.layout
    command = ["bench-ddp", *effort.ddp]
    if 1 < layout.ranks <= len(os.sched_getaffinity(0)):  # with a core for each rank's computation
        place.torch_ring([*command, "--json", str(path_of(out, layout, "ddp"))])
    scales = layout.hosts > 1 or layout.ranks == 1
    if scales and layout.rate in SCALING_RATES and layout.ranks <= MAX_SCALING_RANKS:
        command += ["--simulate", str(effort.simulate_ms)]
        place.torch_ring([*command, "--json", str(path_of(out, layout, "scaling"))])


def parse_layouts(text: str) -> list[Layout]:
    try:
        return [Layout.parse(each.strip()) for each in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error


def main(
    only: Annotated[str, typer.Option(help="Layouts: HOSTSxRANKS@RATE, as in 2x2@1gbit.")] = LAYOUTS,
    collective: Annotated[str, typer.Option(help="As torch-ring bench takes it.")] = "all_reduce",
    ddp: Annotated[bool, typer.Option(help="Also train with DDP.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Little of everything, to try it out.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Measure nothing, write the document.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the figures, as JSON.")] = ROOT / "build" / "bench_lab",
    docs: Annotated[Path, typer.Option(help="Folder of performance.md and its img/.")] = ROOT / "docs",
) -> None:
    """Measure ring, gloo and Open MPI over hosts x ranks x rates, and write docs/performance.md.

    Hosts are network namespaces (scripts/netlab), so this needs root; without hosts in a layout it does not.
    Figures of layouts that are not measured now stay in the document.
    """
    layouts = parse_layouts(only)
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if not report:
        if os.geteuid() != 0 and any(layout.hosts > 1 for layout in layouts):
            raise SystemExit("bench_lab: layouts of several hosts are network namespaces, which need root")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that labs are taken down
        effort = QUICK if quick else FULL
        for layout in layouts:
            typer.echo(f"bench_lab: {layout}")
            with built(layout) as place:
                measure_collectives(place, effort, collective, out)
                if ddp:
                    measure_ddp(place, effort, out)
    path = bench_lab_report.write(out, docs.resolve(), MAX_MPI_CALLS)
    typer.echo(f"bench_lab: {path}")


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(main)

if __name__ == "__main__":
    app(prog_name="scripts/bench_lab")
