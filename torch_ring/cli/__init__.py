"""The command line `torch-ring`: `main` is its console script, and what `python -m torch_ring` runs.

Each command has a folder, whose command.py is listed in app.py; what commands share is beside these folders.
What they need beyond torch is the extra `bench`; matplotlib, a part of it, only where something is drawn.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command that the arguments name. Exits with 2 for bad input, 1 for a failure."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(f"torch-ring: {', '.join(missing)} missing; install: pip install 'torch-ring[bench]'")
    from torch_ring.cli.app import app

    app(prog_name="torch-ring")
