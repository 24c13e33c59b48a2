"""What `torch-ring bench-ddp` reports: everything as JSON, and a table to read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from torch_ring.cli.bench_ddp.measure import DdpRow, Training
from torch_ring.cli.conditions import Conditions
from torch_ring.cli.units import show_time


@dataclass(frozen=True)
class DdpReport:
    """A run of `torch-ring bench-ddp`."""

    conditions: Conditions
    training: Training
    parameters: int
    rows: list[DdpRow]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> DdpReport:
        values = json.loads(path.read_text())
        conditions, training = Conditions(**values["conditions"]), Training(**values["training"])
        return DdpReport(
            conditions, training, values["parameters"], [DdpRow(**row) for row in values["rows"]]
        )

    def describe(self) -> str:
        """The model, and whether it computes."""
        training = self.training
        model = (
            f"{training.layers} transformer layers of width {training.width}, "
            f"{self.parameters / 1e6:.1f} M parameters ({4 * self.parameters / 1e6:.0f} MB of gradients)"
        )
        if training.simulate_ms is None:
            return f"{model}, {training.batch} x {training.tokens} tokens per rank"
        return f"{model}; simulated computation: each rank sleeps {training.simulate_ms:g} ms per step"


def print_report(console: Console, report: DdpReport) -> None:
    report.conditions.print(console)
    console.print(report.describe(), soft_wrap=True)
    table = Table(title=f"DDP, {report.conditions.where()}")
    table.add_column("backend")
    for heading in ("step", "p10", "p90", "no_sync()", "exposed", "cpu s", "loss", "difference"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        times = (row.median_ms, row.p10_ms, row.p90_ms, row.compute_ms)
        table.add_row(
            row.backend,
            *(show_time(1e-3 * value) for value in times),
            f"{row.exposed:.0%}",
            f"{row.cpu_s:.2f}",
            f"{row.last_loss:.6f}",
            f"{row.loss_difference:.1g}",
        )
    console.print(table)
