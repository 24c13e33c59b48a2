"""Compares the training runs of scripts/demo: a table, a plot, and whether their loss curves agree.

    demo_report.py FOLDER LABEL...

reads FOLDER/LABEL.jsonl for each run, as written by `train_gpt.py --metrics`, writes FOLDER/loss.png, and
exits with 1 if the curves disagree.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

# Two gradients have one sum, so with 2 ranks the curves should be equal. With more, backends may add in
# another order, which moves the sum by a few float32 epsilons, and training may amplify that step by step.
# The demo's model with 4 ranks' gradients summed in two orders differed by at most 2 epsilons over 300 steps
# (at twice its learning rate, by 75). A bound that grows leaves room for longer runs and other text, and yet
# starts so low that a relative error of 1e-3 in the gradients exceeds it within the first steps.
TOLERANCE_PER_STEP = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Run:
    """The metrics of one training run, step by step."""

    label: str
    steps: NDArray[np.float64]
    loss: NDArray[np.float64]
    tokens_per_s: float
    comm_share: float
    val_loss: float

    @staticmethod
    def read(folder: Path, label: str) -> Run:
        rows = [json.loads(line) for line in (folder / f"{label}.jsonl").read_text().splitlines()]

        def column(name: str) -> NDArray[np.float64]:
            return np.array([row[name] for row in rows], dtype=np.float64)

        warm = len(rows) // 10  # the first steps allocate memory and set up connections
        return Run(
            label,
            column("step"),
            column("loss"),
            float(np.median(column("tokens_per_s")[warm:])),
            float(np.median(column("comm_share")[warm:])),
            rows[-1]["val_loss"],
        )


def print_table(console: Console, runs: list[Run]) -> None:
    table = Table(title=f"{len(runs[0].steps)} steps over each backend")
    table.add_column("backend")
    for heading in ("final loss", "validation loss", "tokens/s", "communication"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(
            run.label,
            f"{run.loss[-1]:.6f}",
            f"{run.val_loss:.6f}",
            f"{run.tokens_per_s:,.0f}",
            f"{run.comm_share:.1%}",
        )
    console.print(table)


def plot(path: Path, runs: list[Run], differences: list[NDArray[np.float64]]) -> None:
    figure = Figure(figsize=(9, 6.5), layout="constrained")  # without pyplot it is drawn by Agg, off screen
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    # The first curve is wide and the others are dashed, each from another offset, so that all remain visible
    # where they are equal.
    for i, run in enumerate(runs):
        style = "-" if i == 0 else (3 * (i - 1), (4, 4))
        top.plot(run.steps, run.loss, linestyle=style, linewidth=3.5 if i == 0 else 1.5, label=run.label)
    top.set_title("Training loss by backend")
    top.set_ylabel("loss (nats per character)")
    top.legend()
    for i, (run, difference) in enumerate(zip(runs[1:], differences, strict=True), start=1):
        bottom.plot(run.steps, difference, ".", markersize=4, color=f"C{i}", label=run.label, clip_on=False)
    bottom.plot(runs[0].steps, TOLERANCE_PER_STEP * runs[0].steps, "--", color="gray", label="tolerance")
    bottom.set_yscale("symlog", linthresh=1e-7)  # logarithmic, but with a place for 0
    bottom.set_ylim(bottom=0)
    bottom.set_ylabel(f"relative difference\nto {runs[0].label}")
    bottom.set_xlabel("step")
    bottom.legend()
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> int:
    folder, *labels = sys.argv[1:]
    runs = [Run.read(Path(folder), label) for label in labels]
    reference = runs[0]
    differences = [np.abs(run.loss - reference.loss) / np.abs(reference.loss) for run in runs[1:]]
    console = Console(highlight=False)
    print_table(console, runs)
    plot(Path(folder, "loss.png"), runs, differences)
    console.print(f"loss curves: {Path(folder, 'loss.png')}", soft_wrap=True)
    # Not (a <= b) instead of a > b: a loss that is not a number is no agreement.
    broken = [np.flatnonzero(~(d <= TOLERANCE_PER_STEP * reference.steps)) for d in differences]
    worst = max(float(np.max(d)) for d in differences)
    summary = (
        f"max relative difference {worst:.1g} over {len(reference.steps)} steps "
        f"(tolerance {TOLERANCE_PER_STEP:.1g} per step done)"
    )
    if any(len(steps) for steps in broken):
        first = min(int(reference.steps[steps[0]]) for steps in broken if len(steps))
        console.print(f"[bold red]curves DISAGREE[/] from step {first} on: {summary}", soft_wrap=True)
        return 1
    console.print(f"[bold green]curves agree[/]: {summary}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
