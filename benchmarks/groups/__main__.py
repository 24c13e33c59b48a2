"""What `benchmarks/run groups` does: measures what groups take of a process, and of time to form."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.groups import document
from benchmarks.groups.measure import footprints, forming_times
from benchmarks.program import DOCS, DocsOption, program, start
from harness import Layout
from torch_ring.cli import options


def parse_numbers(option: str, text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise options.refuse(option, f"'{text}': allowed are numbers from 1 on, such as 2,4,8")
    return sorted({int(number) for number in numbers})


def parse_layouts(text: str) -> list[Layout]:
    try:
        return [Layout.parse(each) for each in text.split(",")]
    except ValueError as error:
        raise options.refuse("--layouts", str(error)) from error


def main(
    backends: Annotated[
        str, typer.Option(help="Backends to compare; the first is the measure.")
    ] = "ring,gloo",
    layouts: Annotated[
        str, typer.Option(help="HOSTSxRANKS of the footprints; hosts are made up.")
    ] = "1x2,2x2",
    groups: Annotated[str, typer.Option(help="How many groups are alive.")] = "1,10,100",
    ranks: Annotated[str, typer.Option(help="Ranks of the groups whose forming is timed.")] = "2,4,8,16",
    rounds: Annotated[int, typer.Option(min=1, help="Times that each backend forms each group.")] = 9,
    docs: DocsOption = DOCS,
) -> None:
    """Measure what groups cost over several backends, and write docs/groups.md.

    That is threads, descriptors and memory of each rank, and the time to form a group.
    """
    names = options.backends(backends, under_launcher=False)
    spread = parse_layouts(layouts)
    counts, sizes = parse_numbers("--groups", groups), parse_numbers("--ranks", ranks)
    typer.echo("groups: footprints")
    found = footprints(spread, names, counts)
    typer.echo("groups: forming")
    seconds = forming_times(sizes, names, rounds)
    parts = [
        document.introduction(),
        document.about_footprints(found, counts),
        document.about_times(sizes, names, rounds, seconds),
    ]
    path = docs / "groups.md"
    path.write_text("\n".join(parts))
    typer.echo(f"groups: {path}")


app = program(main)

if __name__ == "__main__":
    start(app, "groups")
