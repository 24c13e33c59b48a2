"""Writes docs/performance.md from the figures of this benchmark. Every number in it was measured.

The prose is template.md. Called by the program, __main__.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from string import Template

from benchmarks.cluster import Cluster
from benchmarks.performance.figures import draw, scaling_efficiency
from benchmarks.performance.model import predictions
from benchmarks.performance.mpi import MpiReport, MpiRow
from benchmarks.performance.results import LinkReport, Results
from torch_ring.cli.bench.measure import Row
from torch_ring.cli.bench.report import Report
from torch_ring.cli.bench_ddp.report import DdpReport
from torch_ring.cli.conditions import Conditions
from torch_ring.cli.units import show_binary, show_time, significant

_TEMPLATE = Path(__file__).with_name("template.md")
_NOTHING = "Not measured."


def write(results_folder: Path, docs: Path, mpi_calls: int) -> Path:
    """Writes performance.md and its figures; returns the document's path."""
    results = Results.read(results_folder)
    runs = [conditions for _, conditions in _runs(results)]
    if not runs:
        raise SystemExit(f"performance: no figures in {results_folder}: measure first")
    images = {path.name for path in draw(results, docs / "img")}
    path = docs / "performance.md"
    path.write_text(
        Template(_TEMPLATE.read_text()).substitute(
            system=_system(runs),
            mpi_calls=mpi_calls,
            collectives=_collectives(results, images) or _NOTHING,
            predictions=_predictions(results) or _NOTHING,
            ddp=_ddp(results) or _NOTHING,
            scaling=_scaling(results, images) or _NOTHING,
            commands=_commands(results),
        )
    )
    return path


def _runs(results: Results) -> list[tuple[Cluster, Conditions]]:
    """Of every run of torch-ring."""
    return [
        *((cluster, report.conditions) for cluster, report in results.collectives.items()),
        *((cluster, report.conditions) for cluster, report in results.ddp.items()),
        *((cluster, report.conditions) for cluster, report in results.scaling.items()),
    ]


def _system(runs: Sequence[Conditions]) -> str:
    """That of the latest run; says so where an earlier one differs."""
    latest = max(runs, key=lambda run: run.date)
    days = sorted({run.date[:10] for run in runs})
    rows = [["measured", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"]]
    for name, value in latest.system.items():
        others = sorted({run.system.get(name, "") for run in runs} - {value})
        rows.append([name, value + (f" (some layouts: {', '.join(others)})" if others else "")])
    return _table(["", ""], rows, left=2)


def _collectives(results: Results, images: set[str]) -> str:
    parts = [f"![{name}](img/{name})" for name in sorted(images) if name.startswith("all_reduce")]
    for cluster, report in results.collectives.items():
        link = results.links.get(cluster, LinkReport(None, None))
        parts += [f"### {cluster.title()}", _conditions(report, link)]
        for collective in report.collectives():
            mpi = link.open_mpi if collective == "all_reduce" else None
            parts += [f"{collective}, {report.dtype}:", _figures(report, mpi, collective)]
    return "\n\n".join(parts)


def _conditions(report: Report, link: LinkReport) -> str:
    """What a cluster's figures depend on besides the machine."""
    said = []
    if link.goodput_gbit is not None:
        said.append(f"goodput of a link in each direction {link.goodput_gbit:.2f} Gbit/s")
    if report.conditions.cache_line_ns is not None:
        before, after = report.conditions.cache_line_ns
        said.append(f"cache-line ping-pong {before:.0f} ns before and {after:.0f} ns after")
    said.append(link.open_mpi.version if link.open_mpi else "Open MPI was not measured")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _figures(report: Report, mpi: MpiReport | None, collective: str) -> str:
    """A row for each size; the first backend's figures, and the others beside them."""
    first, *peers = [*report.backends, *(["Open MPI"] if mpi else [])]
    limit = report.limit_gb_s(collective) if collective != "barrier" else None
    headings = ["size", first, *peers, *(f"{peer} / {first}" for peer in peers), f"{first} busbw GB/s"]
    headings += ["of limit"] if limit is not None else []
    headings += [f"cpu s/GB {name}" for name in (first, *peers)]
    lines = []
    for count, of_size in groupby(
        (row for row in report.rows if row.collective == collective), key=lambda row: row.bytes
    ):
        reference, *others = list(of_size)
        compared: list[Row | MpiRow] = [*others]
        if mpi:
            compared += [row for row in mpi.rows if row.bytes == count]
        cells = [show_binary(count) if count else "", *(_time(row) for row in (reference, *compared))]
        cells += [significant(row.median_us / reference.median_us) for row in compared]
        cells.append(f"{reference.busbw_gb_s:.3f}" if count else "")
        cells += [f"{reference.busbw_gb_s / limit:.0%}"] if limit is not None else []
        cells += [_optional(row.cpu_s_per_gb) for row in (reference, *compared)]
        lines.append(cells)
    return _table(headings, lines)


def _predictions(results: Results) -> str:
    headings = ["layout", "size", "between hosts", "predicted", "measured", "error"]
    lines = [
        [
            one.cluster.title(),
            show_binary(one.bytes),
            one.algorithm,
            show_time(one.seconds),
            show_time(one.measured),
            f"{one.error:+.0%}",
        ]
        for one in predictions(results)
    ]
    return _table(headings, lines, left=3) if lines else ""


def _time(row: Row | MpiRow) -> str:
    least = row.min_us if isinstance(row, MpiRow) else row.p10_us
    return _spread(row.median_us, least, row.p90_us)


def _spread(median_us: float, low_us: float, high_us: float) -> str:
    return f"{show_time(1e-6 * median_us)} ({show_time(1e-6 * low_us)} to {show_time(1e-6 * high_us)})"


def _optional(value: float | None) -> str:
    return "" if value is None else significant(value)


def _ddp(results: Results) -> str:
    headings = ["layout", "backend", "step", "no_sync()", "exposed", "cpu s per step", "difference"]
    lines = [
        [
            cluster.title(),
            row.backend,
            _spread(1e3 * row.median_ms, 1e3 * row.p10_ms, 1e3 * row.p90_ms),
            show_time(1e-3 * row.compute_ms),
            f"{row.exposed:.0%}",
            f"{row.cpu_s:.2f}",
            f"{row.loss_difference:.1g}",
        ]
        for cluster, report in results.ddp.items()
        for row in report.rows
    ]
    return "\n\n".join([*_described(results.ddp.values()), _table(headings, lines, left=2)]) if lines else ""


def _scaling(results: Results, images: set[str]) -> str:
    headings = ["layout", "backend", "step", "no_sync()", "exposed", "efficiency"]
    lines = []
    for cluster, report in results.scaling.items():
        for row in report.rows:
            efficiency = scaling_efficiency(results.scaling, row.backend).get(cluster)
            times = [show_time(1e-3 * row.median_ms), show_time(1e-3 * row.compute_ms), f"{row.exposed:.0%}"]
            share = "" if efficiency is None else f"{efficiency:.0%}"
            lines.append([cluster.title(), row.backend, *times, share])
    if not lines:
        return ""
    figures = [f"![{name}](img/{name})" for name in images if name == "ddp-scaling.png"]
    return "\n\n".join([*_described(results.scaling.values()), *figures, _table(headings, lines, left=2)])


def _described(reports: Iterable[DdpReport]) -> list[str]:
    """What was trained: one line, unless clusters differ."""
    return sorted({f"{report.describe()}." for report in reports})


def _commands(results: Results) -> str:
    lines = []
    for cluster, run in _runs(results):
        lines += [f"# {cluster}", _shown(run.command)]
    for cluster, link in results.links.items():
        if link.open_mpi is not None:
            lines += [f"# {cluster}", " ".join(link.open_mpi.command)]
    return "\n".join(lines)


def _shown(command: list[str]) -> str:
    """Without the file that the figures went to."""
    pairs = zip(["", *command], command, strict=False)
    return " ".join(word for last, word in pairs if "--json" not in (last, word))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """The first columns flush left, the others flush right."""
    rule = ["---" if column < left else "---:" for column in range(len(headings))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, rule, *rows])
