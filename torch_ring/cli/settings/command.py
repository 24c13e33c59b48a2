"""`torch-ring settings`: what can be set by the environment and per group, and the limits of it."""

from __future__ import annotations

from typing import Annotated

import typer

from torch_ring.cli.core import core
from torch_ring.cli.settings.page import as_markdown, as_text


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/configuration.md.")] = False,
) -> None:
    """Print every setting: its environment variable, default, limits and meaning."""
    render = as_markdown if markdown else as_text
    typer.echo(render(core().parameters()), nl=False)
