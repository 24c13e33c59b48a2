"""The tables of `torch-ring plan`: each function prints one and returns what it says. Called by plan.py."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from torch_ring.cli.plan.case import Case, plan_fields
from torch_ring.cli.plan.measured import Comparison
from torch_ring.cli.units import show_binary, show_bytes, show_time

if TYPE_CHECKING:
    from torch_ring._C import Plan

_PLAN = (">chunk", ">streams", ">rails", ">pieces")


def print_predictions(console: Console, case: Case) -> dict[str, Any]:
    """By algorithm, the chosen one marked."""
    predictions, chosen = case.predictions()
    columns = ("algorithm", ">time", ">steps", ">bytes per link", ">busbw", ">efficiency", *_PLAN)
    table = _table(case.title(), *columns)
    table.caption = "* chosen"
    rows = []
    for one in predictions:
        is_chosen = one.plan.algorithm == chosen
        name = one.plan.algorithm if case.hosts > 1 else "shared memory"
        busbw = case.busbw(one)
        table.add_row(
            f"{name} *" if is_chosen else name,
            show_time(one.seconds),
            str(one.steps),
            show_bytes(one.bytes_per_link),
            f"{show_bytes(busbw)}/s" if busbw else "-",
            f"{one.efficiency:.1%}" if one.efficiency else "-",
            *(_plan(one.plan) if case.hosts > 1 else ["-"] * len(_PLAN)),
            style="bold" if is_chosen else None,
        )
        numbers = {name: getattr(one, name) for name in ("seconds", "steps", "frames", "bytes_per_link")}
        last = {"busbw_bytes_per_s": busbw, "efficiency": one.efficiency, "chosen": is_chosen}
        rows.append(plan_fields(one.plan) | numbers | last)
    console.print(table)
    return case.fields() | {"chosen": chosen, "predictions": rows}


def print_sizes(console: Console, case: Case) -> list[dict[str, Any]]:
    """What is chosen, by range of sizes."""
    plans = case.plans_by_size()
    table = _table("chosen by size", ">from", ">to", "algorithm", *_PLAN)
    ends = [show_binary(first) for first, _ in plans[1:]] + [""]
    for (first, one), end in zip(plans, ends, strict=True):
        table.add_row(show_binary(first), end, one.algorithm, *_plan(one))
    console.print(table)
    return [{"from": first} | plan_fields(one) for first, one in plans]


def print_comparison(console: Console, title: str, rows: Sequence[Comparison]) -> dict[str, Any]:
    """Predicted against measured."""
    table = _table(
        title,
        *(">hosts", ">ranks/host", ">size", "collective", "algorithm"),
        *(">measured", ">predicted", ">error", "model chooses"),
    )
    for row in rows:
        one = row.measured
        table.add_row(
            str(one.hosts),
            str(one.ranks_per_host),
            show_binary(one.bytes),
            one.collective,
            one.algorithm,
            show_time(one.seconds),
            show_time(row.predicted_seconds),
            f"{row.error:+.1%}",
            row.chosen,
        )
    console.print(table)
    errors = [abs(row.error) for row in rows]
    typical, worst = statistics.median(errors), max(errors)
    console.print(f"error, without its sign: median {typical:.1%}, largest {worst:.1%}, of {len(rows)}")
    comparisons = [
        asdict(row.measured)
        | {"predicted_seconds": row.predicted_seconds, "error": row.error, "chosen": row.chosen}
        for row in rows
    ]
    return {"comparisons": comparisons, "median_error": typical, "largest_error": worst}


def _table(title: str, *columns: str) -> Table:
    """Columns that begin with > are numbers."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


def _plan(one: Plan) -> list[str]:
    return [show_binary(one.chunk_bytes), str(one.streams), str(one.rails), str(one.pieces)]
