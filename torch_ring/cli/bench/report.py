"""What `torch-ring bench` reports: everything as JSON, and a table to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from torch_ring.cli.bench.collectives import link_limit
from torch_ring.cli.bench.measure import Row
from torch_ring.cli.conditions import Conditions
from torch_ring.cli.units import show_binary, show_time, significant


@dataclass(frozen=True)
class Report:
    """A run of `torch-ring bench`."""

    conditions: Conditions
    dtype: str
    backends: list[str]
    limit_gbit: float | None  # of each host's link, in each direction
    rows: list[Row]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> Report:
        values = json.loads(path.read_text())
        conditions, rows = Conditions(**values["conditions"]), [Row(**row) for row in values["rows"]]
        return Report(**values | {"conditions": conditions, "rows": rows})

    def collectives(self) -> list[str]:
        return list(dict.fromkeys(row.collective for row in self.rows))

    def limit_gb_s(self, collective: str) -> float | None:
        """The busbw at which the hosts' links are full."""
        if self.limit_gbit is None:
            return None
        return link_limit(collective, self.conditions.ranks, self.conditions.hosts, self.limit_gbit / 8)


def print_report(console: Console, report: Report) -> None:
    report.conditions.print(console)
    for collective in report.collectives():
        rows = [row for row in report.rows if row.collective == collective]
        console.print(_table(report, collective, rows))


def _table(report: Report, collective: str, rows: Sequence[Row]) -> Table:
    limit = report.limit_gb_s(collective) if collective != "barrier" else None
    table = Table(title=f"{collective}, {report.dtype}, {report.conditions.where()}")
    headings = ["size", "backend", "median", "p10", "p90", "mean", "busbw GB/s"]
    headings += [] if limit is None else ["of limit"]
    headings += ["cpu s/GB", f"time / {report.backends[0]}'s"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "backend" else "right")
    for count, of_size in groupby(rows, key=lambda row: row.bytes):
        for number, row in enumerate(of_size):
            cells = ["" if number or not count else show_binary(count), row.backend]
            cells += [
                show_time(1e-6 * value) for value in (row.median_us, row.p10_us, row.p90_us, row.mean_us)
            ]
            cells.append(f"{row.busbw_gb_s:.3f}" if count else "")
            if limit is not None:
                cells.append(f"{row.busbw_gb_s / limit:.0%}")
            cells.append("" if row.cpu_s_per_gb is None else significant(row.cpu_s_per_gb))
            cells.append(significant(row.time_over_first))
            table.add_row(*cells, end_section=number == len(report.backends) - 1)
    return table
