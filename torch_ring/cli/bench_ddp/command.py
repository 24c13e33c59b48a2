"""`torch-ring bench-ddp`: the same training by DistributedDataParallel over several backends, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torch_ring.cli import launch, options
from torch_ring.cli.bench_ddp import model
from torch_ring.cli.bench_ddp.measure import Training, measure
from torch_ring.cli.bench_ddp.report import DdpReport, print_report
from torch_ring.cli.conditions import Observer
from torch_ring.cli.console import stdout
from torch_ring.cli.groups import Groups
from torch_ring.cli.options import BackendsOption, RanksOption


def bench_ddp(
    ranks: RanksOption = None,
    backends: BackendsOption = "ring,gloo",
    layers: Annotated[int, typer.Option(min=1, help="Layers of the transformer encoder.")] = 8,
    width: Annotated[int, typer.Option(min=model.HEADS, help="Its width.")] = 512,
    batch: Annotated[int, typer.Option(min=1, help="Sequences per rank and step.")] = 8,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens per sequence.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each backend.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a turn with communication; then without.")] = 5,
    simulate: Annotated[
        float | None,
        typer.Option(min=1, metavar="MS", help="Sleep so many ms per step and rank instead of computing."),
    ] = None,
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="File for all figures.")] = None,
) -> None:
    """Train the same model on the same data with DDP over several backends, interleaved.

    Reports the time of a step, and how much of it is communication that computation does not hide: the step
    against one under no_sync(). Losses must agree, and so must the ranks' parameters. With --simulate the
    computation takes the same time however many ranks share a core, so that the steps of few and of many
    ranks can be compared on one machine; it leaves the cores to communication.
    """
    names = options.backends(backends, options.has_launcher())
    count = options.check_ranks(ranks)
    if width % model.HEADS:
        raise options.refuse("--width", f"{width} is not a multiple of {model.HEADS}, the number of heads")
    training = Training(layers, width, batch, tokens, rounds, steps, simulate)
    json = options.output("--json", json, folder=False)

    def work(groups: Groups) -> None:
        observer = Observer(groups)
        parameters, rows = measure(groups, training)
        report = DdpReport(observer.conditions(), training, parameters, rows)
        if groups.rank == 0:
            console = stdout()
            print_report(console, report)
            if json is not None:
                report.write(json)
                console.print(f"figures: {json}", soft_wrap=True)

    launch.as_rank(count, names, work)
