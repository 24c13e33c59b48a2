"""Draws what was measured: busbw and latency over size, a curve per backend, with the limit.

The functions that draw into given axes also serve benchmarks/performance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from torch_ring.cli.bench.report import Report
from torch_ring.cli.units import show_binary

_MAX_TICKS = 8
_LINE: dict[str, Any] = {"marker": "o", "markersize": 3}


@dataclass(frozen=True)
class Point:
    """A call's time at one size, in microseconds, and its busbw in GB/s."""

    bytes: int
    p10_us: float
    median_us: float
    p90_us: float
    busbw_gb_s: float


@dataclass(frozen=True)
class Curve:
    label: str
    points: Sequence[Point]


def curves(report: Report, collective: str) -> list[Curve]:
    """One for each backend of the report."""
    return [
        Curve(
            backend,
            [
                Point(row.bytes, row.p10_us, row.median_us, row.p90_us, row.busbw_gb_s)
                for row in report.rows
                if (row.collective, row.backend) == (collective, backend)
            ],
        )
        for backend in report.backends
    ]


def draw_busbw(axes: Axes, what: Sequence[Curve], limit_gb_s: float | None) -> None:
    for curve in what:
        axes.plot(_sizes(curve), [point.busbw_gb_s for point in curve.points], **_LINE, label=curve.label)
    if limit_gb_s is not None:
        axes.axhline(limit_gb_s, color="gray", linestyle="--", label="limit of the link")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("busbw (GB/s)")
    _dress(axes, what)


def draw_latency(axes: Axes, what: Sequence[Curve]) -> None:
    """Medians, and the range from p10 to p90 behind them."""
    for curve in what:
        sizes = _sizes(curve)
        (line,) = axes.plot(sizes, [point.median_us for point in curve.points], **_LINE, label=curve.label)
        low = [point.p10_us for point in curve.points]
        high = [point.p90_us for point in curve.points]
        axes.fill_between(sizes, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylabel("time per call (µs)")
    _dress(axes, what)


def plot(report: Report, folder: Path) -> list[Path]:
    """Writes COLLECTIVE-busbw.png and COLLECTIVE-latency.png for each collective that moves data."""
    paths = []
    for collective in (name for name in report.collectives() if name != "barrier"):
        what = curves(report, collective)
        for kind in ("busbw", "latency"):
            figure = Figure(figsize=(6, 4), layout="constrained")
            axes = figure.subplots()
            if kind == "busbw":
                draw_busbw(axes, what, report.limit_gb_s(collective))
            else:
                draw_latency(axes, what)
            axes.set_title(f"{collective}, {report.conditions.where()}")
            axes.legend()
            paths.append(folder / f"{collective}-{kind}.png")
            figure.savefig(paths[-1], dpi=120)
    return paths


def _sizes(curve: Curve) -> list[int]:
    return [point.bytes for point in curve.points]


def _dress(axes: Axes, what: Iterable[Curve]) -> None:
    axes.set_xscale("log", base=2)
    sizes = sorted({number for curve in what for number in _sizes(curve)})
    axes.set_xticks(sizes[:: 1 + len(sizes) // _MAX_TICKS])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: show_binary(round(value))))
    axes.set_xlabel("size")
    axes.grid(alpha=0.3)
