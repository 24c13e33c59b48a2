"""What `benchmarks/run peers` prints: a page in Markdown, with a table for each collective.

Called by __main__.py, which measures what the page tells of.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.peers.contenders import BESIDE, MEMCPY, RING, Circumstances, Contender
from torch_ring.cli.units import show_binary, significant

EXPLANATION = """Times are in microseconds. In each round every library runs once, in an order that rotates;
of its calls the median counts, and of the ranks the slowest. The tables have the median over the rounds, and
in brackets the mean of all calls: where some calls wait and others gain by it, a median tells of the lucky
ones. The best median is bold. *ring / best* is the time of ring over that of the best other library, by
medians and, in brackets, by means: below 1 ring is faster. Sizes are those of the larger of input and
output; what a library lacks is empty. CPU seconds are those of all ranks, user and system, per 1e9 bytes of
tensor."""


def page(
    command: str,
    who: str,
    rounds: int,
    circumstances: Circumstances,
    contenders: Sequence[Contender],
    collectives: Sequence[str],
) -> str:
    names = ", ".join(f"{one.name} = {one.title}" for one in contenders if one.title)
    rounds_made = f"{rounds} round{'s' if rounds > 1 else ''}"
    parts = [
        f"# libring beside other libraries, {who}",
        f"{circumstances.title}; float32, SUM; {rounds_made} of `{command}`. {names}.",
    ]
    if circumstances.ping_pongs_ns:
        times = circumstances.ping_pongs_ns
        parts.append(
            f"Ping-pong of a cache line: {times[0]:.0f} ns before, {times[-1]:.0f} ns after, "
            f"{min(times):.0f} to {max(times):.0f} ns in all rounds."
        )
    parts.append(EXPLANATION)
    for collective in collectives:
        parts += [f"## {collective}", *_of_collective(contenders, collective)]
    return "\n\n".join(parts) + "\n"


def _of_collective(contenders: Sequence[Contender], collective: str) -> list[str]:
    parts = [f"Failed: {one.failures[collective]}" for one in contenders if collective in one.failures]
    parts.append(_times(contenders, collective))
    cpu = _cpu(contenders, collective)
    return [*parts, "CPU seconds per GB:", cpu] if cpu else parts


def _sizes(contenders: Sequence[Contender], collective: str) -> list[int]:
    """Without the tensor that is too small for each rank to have a share of."""
    found = {size for one in contenders for size in one.rows.get(collective, {})}
    return sorted(size for size in found if size > 0 or collective == "barrier")


def _times(contenders: Sequence[Contender], collective: str) -> str:
    ring, *others = [one for one in contenders if one.name != MEMCPY]
    memcpy = [one for one in contenders if one.name == MEMCPY and collective == BESIDE]
    lines = []
    for size in _sizes(contenders, collective):
        medians = {
            one.name: one.over_rounds(statistics.median, collective, size, "time_us") for one in contenders
        }
        means = {
            one.name: one.over_rounds(statistics.mean, collective, size, "mean_us") for one in contenders
        }
        best = _least(medians[one.name] for one in (ring, *others))
        names = [one.name for one in others]
        cells = [show_binary(size) if size else ""]
        cells += [_time(medians[one.name], means[one.name], best) for one in (ring, *others)]
        cells.append(_ratio(medians, means, names))
        for one in memcpy:
            cells += [_time(medians[one.name], means[one.name], None), _ratio(medians, means, [one.name])]
        lines.append(cells)
    headings = ["size", *(one.name for one in (ring, *others)), "ring / best"]
    headings += [heading for _ in memcpy for heading in (MEMCPY, f"ring / {MEMCPY}")]
    return _table(headings, lines)


def _cpu(contenders: Sequence[Contender], collective: str) -> str:
    """Empty where no size is large enough."""
    shown = [one for one in contenders if one.name != MEMCPY or collective == BESIDE]
    lines = []
    for size in _sizes(contenders, collective):
        values = [one.over_rounds(statistics.median, collective, size, "cpu_s_per_gb") for one in shown]
        if any(value is not None for value in values):
            lines.append([show_binary(size), *("" if value is None else f"{value:.3f}" for value in values)])
    return _table(["size", *(one.name for one in shown)], lines) if lines else ""


def _time(median: float | None, mean: float | None, best: float | None) -> str:
    if median is None or mean is None:
        return ""
    shown = significant(median)
    return f"**{shown}** ({significant(mean)})" if median == best else f"{shown} ({significant(mean)})"


def _ratio(medians: dict[str, float | None], means: dict[str, float | None], names: Sequence[str]) -> str:
    """Of ring to the best of these; by the medians, and in brackets by the means."""
    shown = []
    for values in (medians, means):
        mine, best = values[RING], _least(values[name] for name in names)
        if mine is None or not best:
            return ""
        shown.append(significant(mine / best))
    return f"{shown[0]} ({shown[1]})"


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---:"] * len(headings)
    return "\n".join(f"| {' | '.join(line)} |" for line in [headings, rule, *lines])
