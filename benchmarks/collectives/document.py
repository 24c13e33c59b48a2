"""The page docs/collectives.md: a table of all collectives per cluster, and what ring is slower in.

Called by __main__.py, which measures what the page tells of.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.cluster import Cluster
from torch_ring.cli.bench.measure import Row
from torch_ring.cli.bench.report import Report
from torch_ring.cli.units import show_binary, show_time, significant

INTRODUCTION = """# Every collective beside gloo

Medians, ring / gloo (how many times as long gloo takes); sizes are those of the larger of input and output.
Measured by `benchmarks/run collectives` through torch, both backends interleaved in one run, hosts being
network namespaces on one machine. Large tensors over a full link, or over TCP between more ranks than cores,
take what the link or the kernel needs; there the ratio is near 1, and varies by a tenth and more from run to
run, in both directions. What comes out slower is measured once more, by itself and three times as long; the
tables keep the first figure. For the second run the ratio of the means is given, too. Medians mislead where a
few calls wait and the others gain by it: a shaped link lets a burst pass at full speed after each pause.
"""


def path_of(folder: Path, cluster: Cluster) -> Path:
    return folder / f"{cluster}.json"


def path_again(folder: Path, cluster: Cluster, name: str, size: int) -> Path:
    return folder / "again" / f"{cluster}-{name}-{size}.json"


def ratio(ours: Row, theirs: Row) -> float:
    """How many times as long the other takes."""
    return theirs.median_us / ours.median_us


def cell(ours: Row, theirs: Row) -> str:
    times = " / ".join(show_time(1e-6 * row.median_us) for row in (ours, theirs))
    return f"{times} (**{significant(ratio(ours, theirs))}**)"


def pairs(report: Report) -> dict[str, dict[int, tuple[Row, Row]]]:
    """Ring's row and gloo's, by collective and size."""
    found: dict[str, dict[int, dict[str, Row]]] = {}
    for row in report.rows:
        found.setdefault(row.collective, {}).setdefault(row.bytes, {})[row.backend] = row
    return {
        name: {size: (rows["ring"], rows["gloo"]) for size, rows in by_size.items()}
        for name, by_size in found.items()
    }


def table(report: Report) -> list[str]:
    by_name = pairs(report)
    sizes = sorted({size for by_size in by_name.values() for size in by_size if size})
    lines = ["| | " + " | ".join(show_binary(size) for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for name, by_size in by_name.items():
        if 0 in by_size:  # the barrier
            lines.append(f"| {name} | {cell(*by_size[0])} |" + " |" * (len(sizes) - 1))
        else:
            lines.append(f"| {name} | " + " | ".join(cell(*by_size[size]) for size in sizes) + " |")
    return lines


def slower(report: Report) -> list[tuple[str, int]]:
    """The collectives and sizes."""
    return [
        (name, size)
        for name, by_size in pairs(report).items()
        for size, rows in by_size.items()
        if float(significant(ratio(*rows))) < 1  # as the tables have it
    ]


def describe(folder: Path, cluster: Cluster, report: Report, name: str, size: int) -> str:
    """A cell that came out slower: "1x2 scatter 64 MiB (0.980, again 1.02, means 1.10)"."""
    ratios = [significant(ratio(*pairs(report)[name][size]))]
    file = path_again(folder, cluster, name, size)
    if file.exists():  # not where the run was interrupted
        ours, theirs = pairs(Report.read(file))[name][size]
        ratios += [f"again {significant(ratio(ours, theirs))}"]
        ratios += [f"means {significant(theirs.mean_us / ours.mean_us)}"]
    what = f"{cluster} {name} {show_binary(size)}" if size else f"{cluster} {name}"
    return f"{what} ({', '.join(ratios)})"


def page(folder: Path, reports: dict[Cluster, Report]) -> str:
    lines = [INTRODUCTION]
    cells = [
        describe(folder, cluster, report, *found)
        for cluster, report in reports.items()
        for found in slower(report)
    ]
    system = next(iter(reports.values())).conditions.system
    lines += [", ".join(f"{key} {value}" for key, value in system.items()) + ".", ""]
    lines += ["Where ring is slower: " + ("; ".join(cells) if cells else "nowhere") + "."]
    for cluster, report in reports.items():
        lines += ["", f"## {cluster.title()}", "", *table(report)]
    return "\n".join(lines) + "\n"
