"""What scripts/bench_collectives does: a table of all collectives per layout, and what ring is slower in."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from bench_lab_places import ROOT, Layout, Place, built
from torch_ring.cli.bench.collectives import NAMES
from torch_ring.cli.bench.measure import Row
from torch_ring.cli.bench.report import Report
from torch_ring.cli.units import show_binary, show_time, significant

LAYOUTS = "1x2,1x4,2x1@none,2x1@1gbit,4x1@none,4x1@1gbit,2x2@none,2x2@1gbit"
INTRODUCTION = """# Every collective beside gloo

Medians, ring / gloo (how many times as long gloo takes); sizes are those of the larger of input and output.
Measured by `scripts/bench_collectives` through torch, both backends interleaved in one run, hosts being
network namespaces on one machine. Large tensors over a full link, or over TCP between more ranks than cores,
take what the link or the kernel needs; there the ratio is near 1, and moves by a tenth and more from run to
run, to either side of it. What comes out slower is measured once more, by itself and three times as long; the
tables keep the first figure. Of that second run the ratio of the means is given, too: where some calls wait
and others gain by it, as a shaper lets a burst through after a pause, a median tells of the lucky ones.
"""
ROUNDS = 5
ROUNDS_AGAIN = 15


def path_of(folder: Path, layout: Layout) -> Path:
    return folder / f"{layout}.json"


def path_again(folder: Path, layout: Layout, name: str, size: int) -> Path:
    return folder / "again" / f"{layout}-{name}-{size}.json"


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


def measure(place: Place, file: Path, names: str, sizes: str, seconds: float, rounds: int) -> None:
    what = ["--collective", names, "--sizes", sizes, "--seconds", str(seconds), "--rounds", str(rounds)]
    place.torch_ring(["bench", *what, "--json", str(file)])


def describe(folder: Path, layout: Layout, report: Report, name: str, size: int) -> str:
    """A cell that came out slower: "1x2 scatter 64 MiB (0.980, again 1.02, means 1.10)"."""
    ratios = [significant(ratio(*pairs(report)[name][size]))]
    file = path_again(folder, layout, name, size)
    if file.exists():  # not where the run was interrupted
        ours, theirs = pairs(Report.read(file))[name][size]
        ratios += [f"again {significant(ratio(ours, theirs))}"]
        ratios += [f"means {significant(theirs.mean_us / ours.mean_us)}"]
    what = f"{layout} {name} {show_binary(size)}" if size else f"{layout} {name}"
    return f"{what} ({', '.join(ratios)})"


def page(folder: Path, reports: dict[Layout, Report]) -> str:
    lines = [INTRODUCTION]
    cells = [
        describe(folder, layout, report, *found)
        for layout, report in reports.items()
        for found in slower(report)
    ]
    machine = next(iter(reports.values())).context.machine
    lines += [", ".join(f"{key} {value}" for key, value in machine.items()) + ".", ""]
    lines += ["Where ring is slower: " + ("; ".join(cells) if cells else "nowhere") + "."]
    for layout, report in reports.items():
        lines += ["", f"## {layout.title()}", "", *table(report)]
    return "\n".join(lines) + "\n"


def main(
    only: Annotated[str, typer.Option(help="Layouts: HOSTSxRANKS@RATE, as in 2x2@1gbit.")] = LAYOUTS,
    sizes: Annotated[str, typer.Option(help="As torch-ring bench takes them.")] = "4K,64K,1M,64M",
    seconds: Annotated[float, typer.Option(help="Per collective, size, backend and round.")] = 0.2,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = ROOT / "build" / "bench_collectives",
    docs: Annotated[Path, typer.Option(help="Folder of collectives.md.")] = ROOT / "docs",
) -> None:
    """Measure every collective over ring and gloo, and write docs/collectives.md.

    Figures of layouts that are not measured now stay in the document while their JSON is there.
    """
    (out / "again").mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        raise SystemExit("bench_collectives: hosts are network namespaces, which need root")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that labs are taken down
    for text in only.split(","):
        layout = Layout.parse(text)
        typer.echo(f"bench_collectives: {layout}")
        for old in (out / "again").glob(f"{layout}-*.json"):
            old.unlink()
        with built(layout) as place:
            measure(place, path_of(out, layout), ",".join(NAMES), sizes, seconds, ROUNDS)
            for name, size in slower(Report.read(path_of(out, layout))):
                file = path_again(out, layout, name, size)
                # A barrier takes none of the sizes.
                measure(place, file, name, str(size) if size else sizes, seconds, ROUNDS_AGAIN)
    layouts = sorted((Layout.parse(path.stem) for path in out.glob("*.json")), key=Layout.order)
    (docs / "collectives.md").write_text(
        page(out, {layout: Report.read(path_of(out, layout)) for layout in layouts})
    )


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(main)

if __name__ == "__main__":
    app(prog_name="scripts/bench_collectives")
