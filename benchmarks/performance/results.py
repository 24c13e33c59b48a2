"""The figures of this benchmark: a folder of JSON, of which the document is made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.performance.mpi import MpiReport, MpiRow
from torch_ring.cli.bench.report import Report
from torch_ring.cli.bench_ddp.report import DdpReport


@dataclass(frozen=True)
class LinkReport:
    """What was measured besides `torch-ring bench`."""

    goodput_gbit: float | None  # of a host's link, in each direction; None on one host
    open_mpi: MpiReport | None  # None where it is not installed

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> LinkReport:
        values = json.loads(path.read_text())
        mpi = values["open_mpi"]
        if mpi is not None:
            mpi = MpiReport(**mpi | {"rows": [MpiRow(**row) for row in mpi["rows"]]})
        return LinkReport(values["goodput_gbit"], mpi)


@dataclass(frozen=True)
class Results:
    """All that the folder holds, by cluster."""

    collectives: dict[Cluster, Report]
    links: dict[Cluster, LinkReport]
    ddp: dict[Cluster, DdpReport]
    scaling: dict[Cluster, DdpReport]  # DDP with simulated computation

    @staticmethod
    def read(folder: Path) -> Results:
        return Results(
            {cluster: Report.read(path) for cluster, path in _files(folder, "bench")},
            {cluster: LinkReport.read(path) for cluster, path in _files(folder, "link")},
            {cluster: DdpReport.read(path) for cluster, path in _files(folder, "ddp")},
            {cluster: DdpReport.read(path) for cluster, path in _files(folder, "scaling")},
        )


def path_of(folder: Path, cluster: Cluster, kind: str) -> Path:
    """The file of a kind of figures: bench, link, ddp or scaling."""
    return folder / f"{cluster}.{kind}.json"


def _files(folder: Path, kind: str) -> list[tuple[Cluster, Path]]:
    ending = f".{kind}.json"
    found = [(Cluster.parse(path.name.removesuffix(ending)), path) for path in folder.glob(f"*{ending}")]
    return sorted(found, key=lambda item: item[0].order())
