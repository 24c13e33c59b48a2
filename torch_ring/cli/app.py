"""The commands of `torch-ring`, each a function in a file of its own."""

from __future__ import annotations

import typer

from torch_ring.cli.bench import bench
from torch_ring.cli.ddp import bench_ddp
from torch_ring.cli.plan import plan

COMMANDS = (bench, bench_ddp, plan)

# Plain text instead of boxes: an error's line can be searched for and is not broken.
app = typer.Typer(
    name="torch-ring",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def torch_ring() -> None:
    """Tools of torch_ring, the backend `ring` of torch.distributed."""


for command in COMMANDS:
    app.command()(command)
