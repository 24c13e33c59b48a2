"""`torch-ring bench`: compares backends of torch.distributed with each other, in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from torch_ring.cli import launch, options
from torch_ring.cli.bench import collectives
from torch_ring.cli.bench.measure import Row, Workload, measure
from torch_ring.cli.bench.report import Report, print_report
from torch_ring.cli.conditions import Observer
from torch_ring.cli.console import stdout
from torch_ring.cli.groups import Groups
from torch_ring.cli.options import BackendsOption, RanksOption
from torch_ring.cli.units import show_binary


def bench(
    ranks: RanksOption = None,
    backends: BackendsOption = "ring,gloo",
    collective: Annotated[
        str, typer.Option(help=f"Collectives, of {', '.join(collectives.NAMES)}.")
    ] = "all_reduce",
    sizes: Annotated[
        str, typer.Option(help="Bytes of the larger of input and output, with K, M, G for 1024s.")
    ] = "4,4K,64K,1M,16M,64M",
    dtype: Annotated[str, typer.Option(help="Type of the elements.")] = "float32",
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each backend at each size.")] = 5,
    seconds: Annotated[
        float, typer.Option(min=0.001, help="The slowest backend's time per size and round.")
    ] = 0.5,
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="File for all figures.")] = None,
    plot: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for curves, as PNG.")] = None,
    limit_gbit: Annotated[
        float | None, typer.Option(min=0.001, help="Gbit/s of a host's link, to be drawn as the limit.")
    ] = None,
) -> None:
    """Measure collectives over several backends, interleaved: medians, spread, busbw, processor time.

    Starts its own ranks on this host, or joins those of torchrun: `torchrun ... -m torch_ring bench`.
    Each result is checked once per size and backend; a wrong one ends the run.
    """
    names = options.backends(backends, options.has_launcher())
    count = options.check_ranks(ranks)
    workload = Workload(
        options.names("--collective", collective, collectives.NAMES),
        options.sizes(sizes),
        options.dtype(dtype),
        rounds,
        seconds,
    )
    json, plot = options.output("--json", json, folder=False), options.output("--plot", plot, folder=True)
    if plot is not None:
        options.need_matplotlib("--plot")

    def work(groups: Groups) -> None:
        report = _run(groups, workload, limit_gbit)
        if groups.rank == 0:
            _publish(report, json, plot)

    launch.as_rank(count, names, work)


def _run(groups: Groups, workload: Workload, limit_gbit: float | None) -> Report:
    observer = Observer(groups)
    rows: list[Row] = []
    for of_size in measure(groups, workload):
        rows += of_size
        if groups.rank == 0 and sys.stderr.isatty():
            print(
                f"measured: {of_size[0].collective} {show_binary(of_size[0].bytes):<10}",
                end="\r",
                file=sys.stderr,
            )
    return Report(
        conditions=observer.conditions(),
        dtype=str(workload.dtype).removeprefix("torch."),
        backends=list(groups.measured),
        limit_gbit=limit_gbit,
        rows=rows,
    )


def _publish(report: Report, json: Path | None, folder: Path | None) -> None:
    console = stdout()
    print_report(console, report)
    if json is not None:
        report.write(json)
        console.print(f"figures: {json}", soft_wrap=True)
    if folder is not None:
        from torch_ring.cli.bench.plot import plot  # only here: matplotlib takes a second to load

        for path in plot(report, folder):
            console.print(f"curves: {path}", soft_wrap=True)
