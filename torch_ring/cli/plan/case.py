"""One question to the cost model, and its answers: called by plan.py, and by what prints and draws for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch_ring.cli.units import show_bytes, show_rate, show_time

if TYPE_CHECKING:
    from torch_ring._C import Machine, Plan, Prediction


@dataclass(frozen=True)
class Case:
    """A collective on some hosts. The methods raise RingConfigError where it makes no sense."""

    core: Any  # torch_ring._C
    machine: Machine
    collective: str
    bytes: int  # the largest buffer of a rank
    hosts: int
    ranks_per_host: int
    size_table: str = ""

    def at(self, hosts: int, size: int) -> Case:
        return replace(self, hosts=hosts, bytes=size)

    def predictions(self) -> tuple[list[Prediction], str]:
        """The best plan of each algorithm, and which is chosen; that one is as the size table has it."""
        question = (self.collective, self.bytes, self.hosts, self.ranks_per_host, self.machine)
        chosen = self.core.choose(*question, self.size_table)
        algorithm = chosen.plan.algorithm
        every = self.core.predict_all(*question)
        return [chosen if one.plan.algorithm == algorithm else one for one in every], algorithm

    def plans_by_size(self) -> list[tuple[int, Plan]]:
        """What is chosen for all sizes: the first size of each range, and the plan."""
        question = (self.collective, self.hosts, self.ranks_per_host, self.machine, self.size_table)
        plans: list[tuple[int, Plan]] = self.core.plans_by_size(*question)
        return plans

    def busbw(self, one: Prediction) -> float:
        """Bytes per second, as nccl-tests counts them: comparable to the rate of a link."""
        factor: float = self.core.bus_factor(self.collective, self.hosts * self.ranks_per_host)
        sized = self.collective != "barrier"
        return factor * self.bytes / one.seconds if one.seconds and sized else 0.0

    def network(self) -> str:
        link = self.machine.link
        rate = "unlimited" if link.seconds_per_byte == 0 else show_rate(1 / link.seconds_per_byte)
        return f"{rate}, {show_time(link.latency_s)}"

    def title(self) -> str:
        hosts = count(self.hosts, "host")
        what = f"{self.collective} of {show_bytes(self.bytes)}"
        return f"{what} on {hosts} of {count(self.ranks_per_host, 'rank')}, {self.network()}"

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "collective": self.collective,
            "bytes": self.bytes,
            "hosts": self.hosts,
            "ranks_per_host": self.ranks_per_host,
            "machine": machine_fields(self.machine),
            "size_table": self.size_table,
        }


def count(number: int, what: str) -> str:
    """ "1 host", "2 hosts" """
    return f"{number} {what}{'' if number == 1 else 's'}"


def plan_fields(one: Plan) -> dict[str, Any]:
    """For JSON."""
    return {name: getattr(one, name) for name in ("algorithm", "chunk_bytes", "streams", "rails", "pieces")}


def machine_fields(machine: Machine) -> dict[str, Any]:
    """For JSON, as --measured reads it."""
    link, host = machine.link, machine.host
    in_host = ("sync_s", "seconds_per_byte", "reduce_seconds_per_byte")
    return {
        "link": {name: getattr(link, name) for name in ("latency_s", "seconds_per_byte", "frame_s")},
        "host": {name: getattr(host, name) for name in in_host},
        "stream_seconds_per_byte": machine.stream_seconds_per_byte,
    }
