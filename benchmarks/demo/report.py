"""Compares the curves of scripts/demo: speed turn by turn, communication, and whether the losses agree.

    python -m benchmarks.demo.report STEPS.jsonl

reads what rank.py wrote, draws curves.png beside it, and exits with 1 if the losses disagree. Called by
run.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.demo.curves import Array, Curve, Spread, plot, read

# Two gradients have one sum, so with 2 ranks the curves should be equal. With more, backends may add in
# another order, which moves the sum by a few float32 epsilons, and training may amplify that step by step.
# A model of this kind with 4 ranks' gradients summed in two orders differed by at most 2 epsilons over 300
# steps (at twice its learning rate, by 75). A bound that grows leaves room for longer runs and other text,
# and yet starts so low that a relative error of 1e-3 in the gradients exceeds it within the first steps.
TOLERANCE_PER_STEP = 4 * float(np.finfo(np.float32).eps)


def print_table(console: Console, curves: list[Curve]) -> None:
    """Medians over the turns, with the quartiles."""
    first = curves[0]
    table = Table(title=f"{first.steps.size} steps over each backend, in turns")
    table.add_column("backend")
    headings = ("final loss", "validation loss", "tokens/s", "communication", f"{first.label} / it, by pairs")
    for heading in headings:
        table.add_column(heading, justify="right")
    for curve in curves:
        rate, share = Spread.of(curve.tokens_per_s), Spread.of(curve.comm_share)
        ratio = Spread.of(first.tokens_per_s / curve.tokens_per_s)
        table.add_row(
            curve.label,
            f"{curve.loss[-1]:.6f}",
            f"{curve.val_loss:.6f}",
            f"{rate.median:,.0f} ({rate.low:,.0f} .. {rate.high:,.0f})",
            f"{share.median:.0%} ({share.low:.0%} .. {share.high:.0%})",
            "" if curve is first else f"{ratio.median:.2f} ({ratio.low:.2f} .. {ratio.high:.2f})",
        )
    console.print(table)
    console.print(
        f"Medians of {first.tokens_per_s.size} turns, in brackets the quartiles. By pairs: the tokens/s of a "
        "turn over those of the turn beside it; what else disturbs the machine disturbs both. Communication "
        "is the share of a step that ranks wait; what a backend's threads take from the computation shows in "
        "the tokens/s alone.",
        soft_wrap=True,
    )
    for curve in curves[1:]:
        console.print(summary(first, curve), soft_wrap=True)


def summary(first: Curve, other: Curve) -> str:
    ratio = Spread.of(first.tokens_per_s / other.tokens_per_s)
    share = Spread.of(other.comm_share).median
    return (
        f"{first.label} trains {ratio.median:.2f} times as fast as {other.label} ({ratio.low:.2f} .. "
        f"{ratio.high:.2f}), over which {share:.0%} of a step is communication"
    )


def differences(curves: list[Curve]) -> list[Array]:
    """Of each curve but the first to the first, relative, step by step."""
    reference = curves[0].loss
    return [np.abs(curve.loss - reference) / np.abs(reference) for curve in curves[1:]]


def verdict(steps: Array, found: list[Array]) -> tuple[bool, str]:
    """Whether the losses agree, and the line that says so."""
    worst = max(float(np.max(difference)) for difference in found)
    told = (
        f"max relative difference {worst:.1g} over {steps.size} steps "
        f"(tolerance {TOLERANCE_PER_STEP:.1g} per step done)"
    )
    # Not (a <= b) instead of a > b: a loss that is not a number is no agreement.
    broken = np.any([~(difference <= TOLERANCE_PER_STEP * steps) for difference in found], axis=0)
    if broken.any():
        first = int(steps[np.flatnonzero(broken)[0]])
        return False, f"[bold red]losses DISAGREE[/] from step {first} on: {told}"
    return True, f"[bold green]losses agree[/]: {told}"


def main() -> int:
    metrics = Path(sys.argv[1])
    curves = read(metrics)
    found = differences(curves)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    print_table(console, curves)
    picture = metrics.with_name("curves.png")
    plot(picture, curves, found, TOLERANCE_PER_STEP)
    console.print(f"curves: {picture}", soft_wrap=True)
    agree, told = verdict(curves[0].steps, found)
    console.print(told, soft_wrap=True)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
