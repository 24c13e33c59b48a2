"""What the cost model predicts for the lab, beside what was measured. Called by document.py.

One cluster gives the model its latency: the smallest all_reduce of two hosts of one rank is one exchange.
The rate is what iperf3 reached. From these it predicts every size on every other cluster of that rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cluster import Cluster
from benchmarks.performance.results import Results
from torch_ring import _C as core
from torch_ring.cli.bench.measure import Row
from torch_ring.cli.bench.report import Report

_RATE = "1gbit"  # shaped, so that the link is the limit, and not the cores that all hosts share
_REFERENCE = Cluster.parse(f"2x1@{_RATE}")


@dataclass(frozen=True)
class Predicted:
    """One size on one cluster. Seconds."""

    cluster: Cluster
    bytes: int
    algorithm: str  # between hosts, as the model would choose
    seconds: float
    measured: float

    @property
    def error(self) -> float:
        """By which part of the measured time the prediction is too long; negative if too short."""
        return self.seconds / self.measured - 1


def predictions(results: Results) -> Iterator[Predicted]:
    """By cluster and size. Nothing where the two hosts that give the latency were not measured."""
    latency = _latency(results)
    for cluster, report in results.collectives.items():
        link = results.links.get(cluster)
        if latency is None or cluster.rate != _RATE or link is None or link.goodput_gbit is None:
            continue
        machine = core.Machine()
        machine.link.latency_s = latency
        machine.link.seconds_per_byte = 8e-9 / link.goodput_gbit
        for row in _measured(report):
            best = core.choose("all_reduce", row.bytes, cluster.hosts, cluster.ranks_per_host, machine)
            yield Predicted(cluster, row.bytes, best.plan.algorithm, best.seconds, 1e-6 * row.median_us)


def _latency(results: Results) -> float | None:
    report = results.collectives.get(_REFERENCE)
    rows = [] if report is None else list(_measured(report))
    return 1e-6 * min(rows, key=lambda row: row.bytes).median_us if rows else None


def _measured(report: Report) -> Iterator[Row]:
    return (row for row in report.rows if (row.collective, row.backend) == ("all_reduce", "ring"))
