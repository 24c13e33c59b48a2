"""Compares ring_perf with the installed peers, collective by collective, at the same sizes.

What `benchmarks/run peers` does. In each of several rounds every contender runs once, in an order that
rotates: what disturbs the machine disturbs all of them. The time of a cache line between two cores, before
and after each run of ring_perf, says how far it was disturbed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.peers.contenders import (
    COLLECTIVES,
    Circumstances,
    Contender,
    FailedRun,
    build_ring_perf,
    installed,
    run,
    write_csv,
)
from benchmarks.peers.document import page
from benchmarks.program import program, start

_AS_RING_PERF: dict[str, Any] = {"metavar": "VALUE", "help": "As of ring_perf."}


def parse_collectives(text: str) -> list[str]:
    """Those that -t names, each once. Raises typer.BadParameter."""
    names = list(COLLECTIVES) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in COLLECTIVES:
            raise typer.BadParameter(f"'{name}': allowed are all, {', '.join(COLLECTIVES)}", param_hint="-t")
    return list(dict.fromkeys(names))


def measure(
    contenders: list[Contender], collectives: list[str], rounds: int, options: list[str], timeout: float
) -> Circumstances:
    """All rounds. A contender that fails in a collective is left out there from then on."""
    circumstances = Circumstances()
    total = rounds * sum(one.runs(collective) for collective in collectives for one in contenders)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        for number in range(rounds):
            turn = number % len(contenders)
            for collective in collectives:
                for one in contenders[turn:] + contenders[:turn]:
                    if not one.runs(collective):
                        continue
                    progress.update(task, description=f"round {number + 1}: {collective}, {one.name}")
                    try:
                        run(one, collective, options, timeout, circumstances)
                    except FailedRun as failure:
                        one.fail(collective, str(failure))
                    progress.advance(task)
    return circumstances


def main(
    ranks: Annotated[int, typer.Option("-n", min=1, metavar="RANKS", help="Ranks of each library.")] = 2,
    per_host: Annotated[
        int | None,
        typer.Option("-p", min=1, max=1, metavar="1", help="Each rank counts as a host, over TCP alone."),
    ] = None,
    collective: Annotated[
        str, typer.Option("-t", metavar="NAMES", help=f"all, or some of {', '.join(COLLECTIVES)}.")
    ] = "all_reduce",
    rounds: Annotated[int, typer.Option("--rounds", "-r", min=1, help="Turns of each library.")] = 5,
    first: Annotated[str | None, typer.Option("-b", **_AS_RING_PERF)] = None,
    last: Annotated[str | None, typer.Option("-e", **_AS_RING_PERF)] = None,
    factor: Annotated[str | None, typer.Option("-f", **_AS_RING_PERF)] = None,
    calls: Annotated[str | None, typer.Option("-i", **_AS_RING_PERF)] = None,
    untimed: Annotated[str | None, typer.Option("-w", **_AS_RING_PERF)] = None,
    csv_to: Annotated[
        Path | None, typer.Option("--csv", dir_okay=False, help="File for every round's rows.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one run.")] = 300,
) -> None:
    """Compare ring_perf with the installed peers on this machine: collectives of float32, SUM, in place.

    Prints a page in Markdown, with a table for each collective. Beside all_reduce stands memcpy: the time
    that all ranks take to copy a tensor of that size once, at the same time. all_to_all and send are out of
    place. Exits with 1 where something failed or a result was wrong; the page says what, and has the rest.
    """
    collectives = parse_collectives(collective)
    given = {
        "-n": str(ranks),
        "-p": str(per_host) if per_host else None,
        "-b": first,
        "-e": last,
        "-f": factor,
        "-i": calls,
        "-w": untimed,
    }
    options = [word for name, value in given.items() if value is not None for word in (name, value)]
    contenders = installed()
    build_ring_perf()
    circumstances = measure(contenders, collectives, rounds, options, timeout)
    command = " ".join(["benchmarks/run peers", *options, "-t", collective, "-r", str(rounds)])
    who = f"{ranks} ranks{', each on a host of its own' if per_host else ''}"
    typer.echo(page(command, who, rounds, circumstances, contenders, collectives), nl=False)
    if csv_to is not None:
        write_csv(csv_to, contenders)
    failures = [why for one in contenders for why in one.failures.values()]
    if failures:
        raise SystemExit("\n".join(f"peers: {why}" for why in failures))


app = program(main)

if __name__ == "__main__":
    start(app, "peers")
