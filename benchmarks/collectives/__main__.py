"""What `benchmarks/run collectives` does: measures all collectives per cluster, the slower ones once more."""

from __future__ import annotations

from functools import partial
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
from benchmarks.collectives.document import page, path_again, path_of, slower
from benchmarks.program import DOCS, ROOT, DocsOption, program, start
from harness import Place
from torch_ring.cli.bench.collectives import NAMES
from torch_ring.cli.bench.report import Report

CLUSTERS = "1x2,1x4,2x1@none,2x1@1gbit,4x1@none,4x1@1gbit,2x2@none,2x2@1gbit"
ROUNDS = 5
ROUNDS_AGAIN = 15


def measure(
    cluster: Cluster, place: Place, seconds: float, names: str, sizes: str, rounds: int, file: Path
) -> None:
    what = ["--collective", names, "--sizes", sizes, "--seconds", str(seconds), "--rounds", str(rounds)]
    run_torch_ring(cluster, place, ["bench", *what, "--json", str(file)])


def main(
    only: OnlyOption = CLUSTERS,
    sizes: Annotated[str, typer.Option(help="As torch-ring bench takes them.")] = "4K,64K,1M,64M",
    seconds: Annotated[float, typer.Option(help="Per collective, size, backend and round.")] = 0.2,
    out: OutOption = ROOT / "build" / "collectives",
    docs: DocsOption = DOCS,
) -> None:
    """Measure every collective over ring and gloo, and write docs/collectives.md.

    Figures of clusters that are not measured now stay in the document while their JSON is there.
    """
    clusters = parse_clusters(only)
    out = out.resolve()
    (out / "again").mkdir(parents=True, exist_ok=True)
    need_root(clusters)
    for cluster in clusters:
        typer.echo(f"collectives: {cluster}")
        for old in (out / "again").glob(f"{cluster}-*.json"):
            old.unlink()
        with built(cluster) as place:
            measured = partial(measure, cluster, place, seconds)
            measured(",".join(NAMES), sizes, ROUNDS, path_of(out, cluster))
            for name, size in slower(Report.read(path_of(out, cluster))):
                # A barrier takes none of the sizes.
                again = path_again(out, cluster, name, size)
                measured(name, str(size) if size else sizes, ROUNDS_AGAIN, again)
    found = sorted((Cluster.parse(path.stem) for path in out.glob("*.json")), key=Cluster.order)
    reports = {cluster: Report.read(path_of(out, cluster)) for cluster in found}
    (docs / "collectives.md").write_text(page(out, reports))


app = program(main)

if __name__ == "__main__":
    start(app, "collectives")
