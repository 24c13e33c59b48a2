"""The images of docs/performance.md: a panel for each cluster, and the scaling of DDP. For document.py."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.cluster import Cluster
from benchmarks.performance.mpi import MpiReport
from benchmarks.performance.results import Results
from torch_ring.cli.bench.collectives import bus_factor
from torch_ring.cli.bench.plot import Curve, Point, curves, draw_busbw, draw_latency
from torch_ring.cli.bench_ddp.report import DdpReport

_COLUMNS = 3
_DPI = 80


def draw(results: Results, folder: Path) -> list[Path]:
    """Writes the figures there is data for."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    clusters = [
        cluster for cluster, report in results.collectives.items() if "all_reduce" in report.collectives()
    ]
    if clusters:
        figures["all_reduce-busbw.png"] = _panels(results, clusters, busbw=True)
        figures["all_reduce-latency.png"] = _panels(results, clusters, busbw=False)
    if len(results.scaling) > 1:
        figures["ddp-scaling.png"] = _scaling(results.scaling)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=_DPI)
    return [folder / name for name in figures]


def scaling_efficiency(scaling: Mapping[Cluster, DdpReport], backend: str) -> dict[Cluster, float]:
    """The step of one host over the step of so many, of one rank each. Empty if one host was not measured."""
    steps = {
        cluster: row.median_ms
        for cluster, report in scaling.items()
        for row in report.rows
        if row.backend == backend and cluster.ranks_per_host == 1
    }
    alone = next((step for cluster, step in steps.items() if cluster.hosts == 1), None)
    return {} if alone is None else {cluster: alone / step for cluster, step in steps.items()}


def _panels(results: Results, clusters: list[Cluster], busbw: bool) -> Figure:
    columns = min(_COLUMNS, len(clusters))
    rows = ceil(len(clusters) / columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(clusters) :]:
        axes.remove()
    for cluster, axes in zip(clusters, grid.flat, strict=False):
        report = results.collectives[cluster]
        what = curves(report, "all_reduce")
        link = results.links.get(cluster)
        if link is not None and link.open_mpi is not None:
            what.append(_mpi_curve(link.open_mpi, cluster.ranks))
        if busbw:
            draw_busbw(axes, what, report.limit_gb_s("all_reduce"))
        else:
            draw_latency(axes, what)
        axes.set_title(cluster.title(), fontsize=10)
        axes.tick_params(axis="x", labelrotation=30, labelsize=8)
        axes.legend(fontsize=8)
    return figure


def _mpi_curve(report: MpiReport, ranks: int) -> Curve:
    factor = bus_factor("all_reduce", ranks)
    return Curve(
        "Open MPI",
        [
            Point(row.bytes, row.min_us, row.median_us, row.p90_us, row.bytes / 1e3 / row.median_us * factor)
            for row in report.rows
        ],
    )


def _scaling(scaling: Mapping[Cluster, DdpReport]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    hosts: list[int] = []
    for row in next(iter(scaling.values())).rows:
        efficiency = scaling_efficiency(scaling, row.backend)
        hosts = [cluster.hosts for cluster in efficiency]
        axes.plot(hosts, [100 * value for value in efficiency.values()], marker="o", label=row.backend)
    axes.set_xscale("log", base=2)
    axes.set_xticks(hosts, [str(number) for number in hosts])
    axes.set_ylim(0, 105)
    axes.set_xlabel("hosts, one rank each")
    axes.set_ylabel("scaling efficiency (%)")
    axes.set_title("DDP with simulated computation, links of 1 Gbit/s")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
