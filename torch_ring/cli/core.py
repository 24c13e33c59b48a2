"""The compiled module, for the commands."""

from __future__ import annotations

from typing import Any

import typer

from torch_ring._backend import load
from torch_ring.errors import RingConfigError


def core() -> Any:
    """torch_ring._C; ends the command where there is none that fits."""
    try:
        return load()
    except (ImportError, RingConfigError) as error:
        typer.echo(f"torch-ring: {error}", err=True)
        raise typer.Exit(1) from error
