"""What the programs of all benchmarks have in common: how they are called, and where documents are."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

DocsOption = Annotated[Path, typer.Option(file_okay=False, help="Folder of the document.")]


def program(main: Callable[..., None]) -> typer.Typer:
    """`main` as a command line; a traceback stays as Python prints it."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(main)
    return app


def start(app: typer.Typer, name: str) -> None:
    """Runs it as `benchmarks/run NAME`. SIGTERM ends it as Ctrl-C does: with its ranks, and its lab."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name=f"benchmarks/run {name}")
