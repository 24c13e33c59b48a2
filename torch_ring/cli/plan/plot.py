"""The plot of `torch-ring plan`: predicted time by algorithm, over the number of hosts and over size.

Called by plan.py, and only if a plot is asked for: matplotlib takes its time to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from torch_ring.cli.plan.case import Case, count
from torch_ring.cli.units import show_binary, show_bytes, show_time

if TYPE_CHECKING:
    from torch_ring._C import Prediction

_HOSTS = sorted({round(2 ** (power / 2)) for power in range(2, 25)})  # 2 .. 4096
_SIZES = [2**power for power in range(6, 34)]  # 64 B .. 8 GiB


def plot(path: Path, case: Case) -> None:
    """Draws both into a file of the kind that its name says. Raises OSError or ValueError if it cannot."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    by_hosts, by_size = figure.subplots(1, 2)
    _draw(by_hosts, _HOSTS, [case.at(hosts, case.bytes).predictions() for hosts in _HOSTS])
    by_hosts.set_title(f"{show_bytes(case.bytes)}, over hosts")
    by_hosts.set_xlabel("hosts")
    by_hosts.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    by_hosts.axvline(case.hosts, color="gray", linestyle=":")
    _draw(by_size, _SIZES, [case.at(case.hosts, size).predictions() for size in _SIZES])
    by_size.set_title(f"{count(case.hosts, 'host')}, over sizes")
    by_size.set_xlabel("size")
    by_size.xaxis.set_major_formatter(FuncFormatter(lambda value, _: show_binary(round(value))))
    by_size.axvline(max(case.bytes, _SIZES[0]), color="gray", linestyle=":")
    figure.suptitle(f"{case.collective}, {count(case.ranks_per_host, 'rank')} per host, {case.network()}")
    figure.savefig(path, dpi=120)


def _draw(axes: Axes, at: Sequence[int], predicted: Sequence[tuple[Sequence[Prediction], str]]) -> None:
    """A curve for each algorithm; what is chosen lies under them as a broad line."""
    best = [next(one for one in every if one.plan.algorithm == chosen) for every, chosen in predicted]
    axes.plot(at, [one.seconds for one in best], color="black", alpha=0.15, linewidth=8, label="chosen")
    algorithms = list(dict.fromkeys(one.plan.algorithm for every, _ in predicted for one in every))
    for algorithm in algorithms:
        points = [
            (x, one.seconds)
            for x, (every, _) in zip(at, predicted, strict=True)
            for one in every
            if one.plan.algorithm == algorithm
        ]
        axes.plot(*zip(*points, strict=True), label=algorithm)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: show_time(value)))
    axes.set_ylabel("predicted time")
    axes.grid(alpha=0.3)
    axes.legend()
