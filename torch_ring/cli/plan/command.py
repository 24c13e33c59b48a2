"""`torch-ring plan`: what a collective takes on hosts that are not there, and how the engine would run it.

The model is the engine's own, csrc/ring/topology/cost_model.h. Registered by app.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from torch_ring.cli import options
from torch_ring.cli.console import stdout
from torch_ring.cli.core import core
from torch_ring.cli.plan.case import Case, machine_fields
from torch_ring.cli.plan.measured import compare, read_measurements
from torch_ring.cli.plan.report import print_comparison, print_predictions, print_sizes
from torch_ring.cli.units import parse_rate, parse_size, parse_time
from torch_ring.errors import RingConfigError

if TYPE_CHECKING:
    from torch_ring._C import Machine

_RATE: dict[str, Any] = {"parser": parse_rate, "metavar": "RATE"}
_TIME: dict[str, Any] = {"parser": parse_time, "metavar": "TIME"}
_SIZE: dict[str, Any] = {"parser": parse_size, "metavar": "SIZE"}
_FILE: dict[str, Any] = {"metavar": "FILE"}


def plan(
    hosts: Annotated[int, typer.Option(min=1, max=1 << 24, help="How many hosts.")] = 2,
    ranks_per_host: Annotated[int, typer.Option(min=1, max=1 << 16, help="Ranks on each of them.")] = 1,
    size: Annotated[
        int | None, typer.Option(**_SIZE, help="Of the largest buffer of a rank: 64KiB, 8B [100MB].")
    ] = None,
    collective: Annotated[
        str, typer.Option(help="all_reduce, broadcast, all_gather, reduce_scatter, barrier.")
    ] = "all_reduce",
    link: Annotated[
        float | None, typer.Option(**_RATE, help="Of each host, in each direction: 25gbit, 3GB/s [10gbit].")
    ] = None,
    latency: Annotated[
        float | None, typer.Option(**_TIME, help="An empty message, from host to host [25us].")
    ] = None,
    stream: Annotated[
        float | None, typer.Option(**_RATE, help="What one TCP stream reaches at best [25gbit].")
    ] = None,
    frame: Annotated[
        float | None, typer.Option(**_TIME, help="CPU time to receive a frame and send it on [3us].")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(**_RATE, help="What a rank copies and reduces [8GB/s, 10GB/s].")
    ] = None,
    size_table: Annotated[
        str, typer.Option(help="What to choose instead: 'all_reduce: 0-8K doubling, 1M- ring chunk=256K'.")
    ] = "",
    table: Annotated[bool, typer.Option("--table", help="Print what is chosen for all sizes, too.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the time over hosts and over sizes.")
    ] = None,
    json_to: Annotated[
        Path | None, typer.Option("--json", **_FILE, help="Write it all as JSON; to stdout if -.")
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(**_FILE, help="Compare with the measurements in this JSON file instead.")
    ] = None,
) -> None:
    """Predict how long a collective takes on given hosts, by algorithm, and which is chosen."""
    if plot is not None:
        options.need_matplotlib("--plot")
    model = core()
    machine = model.Machine()
    _set_machine(machine, link, latency, stream, frame, memory)
    # Where the JSON goes to stdout, nothing else does.
    console = stdout(quiet=str(json_to) == "-")
    try:
        if measured is not None:
            rows = compare(model, read_measurements(measured, machine), machine)
            title = f"predicted against measured: {measured.name}"
            report = print_comparison(console, title, rows)
            report["machine"] = machine_fields(machine)
        else:
            bytes_ = 100_000_000 if size is None else size
            case = Case(model, machine, collective, bytes_, hosts, ranks_per_host, size_table)
            report = print_predictions(console, case)
            if table:
                report["sizes"] = print_sizes(console, case)
            if plot is not None:
                _plot(console, plot, case)
    except RingConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if json_to is not None:
        _write(json_to, json.dumps(report, indent=1) + "\n")


def _set_machine(
    machine: Machine,
    link: float | None,
    latency: float | None,
    stream: float | None,
    frame: float | None,
    memory: float | None,
) -> None:
    """What the options say of it, in bytes per second and seconds."""
    if link is not None:
        machine.link.seconds_per_byte = 1 / link
    if latency is not None:
        machine.link.latency_s = latency
    if stream is not None:
        machine.stream_seconds_per_byte = 1 / stream
    if frame is not None:
        machine.link.frame_s = frame
    if memory is not None:
        machine.host.seconds_per_byte = machine.host.reduce_seconds_per_byte = 1 / memory


def _plot(console: Console, path: Path, case: Case) -> None:
    from torch_ring.cli.plan.plot import plot

    try:
        plot(path, case)
    except (OSError, ValueError) as error:
        if isinstance(error, RingConfigError):
            raise
        raise typer.BadParameter(f"cannot write {path}: {error}", param_hint="--plot") from error
    console.print(f"wrote {path}")


def _write(path: Path, text: str) -> None:
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    try:
        path.write_text(text)
    except OSError as error:
        raise typer.BadParameter(f"cannot write {path}: {error.strerror}", param_hint="--json") from error
