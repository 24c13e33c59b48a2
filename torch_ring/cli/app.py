"""The commands of `torch-ring`, each a function in the command.py of its folder. Called by main()."""

from __future__ import annotations

import typer

from torch_ring.cli.bench.command import bench
from torch_ring.cli.bench_ddp.command import bench_ddp
from torch_ring.cli.cuda.command import cuda
from torch_ring.cli.plan.command import plan
from torch_ring.cli.settings.command import settings

COMMANDS = (bench, bench_ddp, cuda, plan, settings)

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
