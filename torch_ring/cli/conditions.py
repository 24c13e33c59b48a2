"""When, where and how a command's figures were measured: a part of each report."""

from __future__ import annotations

import datetime
import sys
from dataclasses import dataclass

from rich.console import Console

from torch_ring.cli import system
from torch_ring.cli.groups import Groups


@dataclass(frozen=True)
class Conditions:
    date: str  # ISO 8601
    command: list[str]
    system: dict[str, str]
    settings: dict[str, str]  # environment variables
    cache_line_ns: list[float] | None  # before and after the run; None where either was not measured
    ranks: int
    hosts: int

    def where(self) -> str:
        ranks = "one rank" if self.ranks == 1 else f"{self.ranks} ranks"
        return f"{ranks} on {'one host' if self.hosts == 1 else f'{self.hosts} hosts'}"

    def print(self, console: Console) -> None:
        console.print(", ".join(f"{key} {value}" for key, value in self.system.items()), soft_wrap=True)
        if self.cache_line_ns is None:
            console.print("cache-line ping-pong: not measured, it takes two cores that are not busy")
        else:
            before, after = self.cache_line_ns
            console.print(f"cache-line ping-pong: {before:.0f} ns before, {after:.0f} ns after")


class Observer:
    """Made by all ranks before they measure; `conditions()` is to be called by all of them afterwards."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._cache_line = self._measure_cache_line()

    def conditions(self) -> Conditions:
        before, after = self._cache_line, self._measure_cache_line()
        return Conditions(
            date=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            command=["torch-ring", *sys.argv[1:]],
            system=system.describe(),
            settings=system.settings(),
            cache_line_ns=None if before is None or after is None else [before, after],
            ranks=self._groups.ranks,
            hosts=len(set(self._groups.gather(system.host_identity()))),
        )

    def _measure_cache_line(self) -> float | None:
        """By rank 0, while the other ranks sleep."""
        self._groups.meet()
        value = system.cache_line_ns() if self._groups.rank == 0 else None
        self._groups.meet()
        return value
