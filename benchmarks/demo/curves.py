"""What rank.py wrote, as a curve for each backend: read and drawn by report.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The metrics of one backend: step by step, and turn by turn."""

    label: str
    steps: Array
    loss: Array
    val_loss: float
    tokens_per_s: Array  # of each turn but the first
    comm_share: Array


@dataclass(frozen=True)
class Spread:
    """What is said of a number that was measured often."""

    low: float
    median: float
    high: float

    @staticmethod
    def of(values: Array) -> Spread:
        """Its median, and the quartiles around it."""
        return Spread(*(float(value) for value in np.quantile(values, [0.25, 0.5, 0.75])))


def read(metrics: Path) -> list[Curve]:
    """In the order in which the backends were given, which is that of the first turn."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    labels = list(dict.fromkeys(row["backend"] for row in rows))
    return [_curve(label, [row for row in rows if row["backend"] == label]) for label in labels]


def _curve(label: str, rows: list[dict[str, float]]) -> Curve:
    def column(name: str) -> Array:
        return np.array([row[name] for row in rows], dtype=np.float64)

    block, seconds = column("block"), column("step_s")
    tokens, comm = column("tokens_per_s") * seconds, column("comm_share") * seconds
    # Not the first step of a turn, which finds the caches full of another model.
    counted = np.diff(block, prepend=-1) == 0
    # Not the first turn, in which memory is allocated and connections are made.
    turns = [counted & (block == number) for number in range(1, int(block[-1]) + 1)]
    return Curve(
        label,
        column("step"),
        column("loss"),
        rows[-1]["val_loss"],
        np.array([tokens[turn].sum() / seconds[turn].sum() for turn in turns]),
        np.array([comm[turn].sum() / seconds[turn].sum() for turn in turns]),
    )


def plot(path: Path, curves: list[Curve], differences: list[Array], tolerance_per_step: float) -> None:
    """The losses, how far they are apart, and the speed of each turn."""
    figure = Figure(figsize=(9, 9), layout="constrained")  # without pyplot it is drawn by Agg, off screen
    top, middle, bottom = figure.subplots(3, 1, height_ratios=[3, 1, 2])
    # The first curve is wide and the others are dashed, each from another offset, so that all remain visible
    # where they are equal.
    for i, curve in enumerate(curves):
        style = "-" if i == 0 else (3 * (i - 1), (4, 4))
        width = 3.5 if i == 0 else 1.5
        top.plot(curve.steps, curve.loss, linestyle=style, linewidth=width, label=curve.label)
        bottom.plot(np.arange(1, curve.tokens_per_s.size + 1), curve.tokens_per_s, ".-", label=curve.label)
    top.set_title("Training loss by backend")
    top.set_ylabel("loss (nats per character)")
    for i, (curve, difference) in enumerate(zip(curves[1:], differences, strict=True), start=1):
        middle.plot(
            curve.steps, difference, ".", markersize=4, color=f"C{i}", label=curve.label, clip_on=False
        )
    steps = curves[0].steps
    middle.plot(steps, tolerance_per_step * steps, "--", color="gray", label="tolerance")
    middle.set_yscale("symlog", linthresh=1e-7)  # logarithmic, but with a place for 0
    middle.set_ylim(bottom=0)
    middle.set_ylabel(f"relative difference\nto {curves[0].label}")
    middle.set_xlabel("step")
    middle.sharex(top)
    bottom.set_ylim(bottom=0)
    bottom.set_ylabel("tokens/s")
    bottom.set_xlabel("turn")
    for axes in (top, middle, bottom):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
