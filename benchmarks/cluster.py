"""What a benchmark runs on: hosts, ranks on them, and the rate of the hosts' links."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from harness import Lab, Layout, Loopback, Place
from harness.places import IMPATIENT_RESOLVER, SINGLE_THREAD
from torch_ring.cli import launch

STORE_PORT = "29500"  # in the namespace of host 0, where nobody else listens


@dataclass(frozen=True)
class Cluster:
    """As many ranks on each host, and the rate of their links: "2x4@1gbit"; "1x2" has no link."""

    layout: Layout
    rate: str  # as netlab takes it; "" on one host

    @staticmethod
    def parse(text: str) -> Cluster:
        """Raises ValueError that says what is allowed."""
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)(?:@([\d.]+[kmg]bit|none))?", text)
        if not found or (int(found[1]) > 1) != (found[3] is not None):
            raise ValueError(f"'{text}': allowed are clusters such as 1x2, 2x2@1gbit and 2x1@none (unshaped)")
        return Cluster(Layout.parse(text.partition("@")[0]), found[3] or "")

    @property
    def hosts(self) -> int:
        return self.layout.hosts

    @property
    def ranks(self) -> int:
        return self.layout.world_size

    @property
    def ranks_per_host(self) -> int:
        return self.layout.ranks_per_host[0]

    def title(self) -> str:
        ranks = f"{self.ranks_per_host} rank{'s' if self.ranks_per_host > 1 else ''}"
        if self.hosts == 1:
            return f"One host, {ranks}"
        rate = "unshaped links" if self.rate == "none" else f"{self.rate[:-4]} {self.rate[-4].upper()}bit/s"
        return f"{self.hosts} hosts x {ranks}, {rate}"

    def order(self) -> tuple[int, int, float]:
        """Sorts by hosts, ranks, and then the faster link first."""
        units = {"k": 1e3, "m": 1e6, "g": 1e9}
        shaped = self.rate not in ("", "none")
        bits = float(self.rate[:-4]) * units[self.rate[-4]] if shaped else math.inf
        return self.hosts, self.ranks_per_host, -bits

    def __str__(self) -> str:
        return f"{self.layout}" + (f"@{self.rate}" if self.rate else "")


OnlyOption = Annotated[str, typer.Option(help="Clusters: HOSTSxRANKS@RATE, as in 2x2@1gbit.")]
OutOption = Annotated[Path, typer.Option(file_okay=False, help="Folder of the figures, as JSON.")]


def parse_clusters(only: str) -> list[Cluster]:
    """Those that the option --only names."""
    try:
        return [Cluster.parse(each.strip()) for each in only.split(",")]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error


def need_root(clusters: Sequence[Cluster]) -> None:
    """Raises SystemExit where a lab is needed and cannot be built."""
    if os.geteuid() != 0 and any(cluster.hosts > 1 for cluster in clusters):
        raise SystemExit("clusters of several hosts are network namespaces, which need root")


@contextmanager
def built(cluster: Cluster) -> Iterator[Place]:
    """Builds the lab of several hosts, and takes it down. Raises SystemExit where that fails."""
    try:
        place = Loopback() if cluster.hosts == 1 else Lab(cluster.hosts, "benchmark", cluster.rate)
    except RuntimeError as error:
        raise SystemExit(f"{cluster}: {error}") from error
    with closing(place):
        yield place


def run_ranks(layout: Layout, place: Place, command: Sequence[str], store: Mapping[str, str]) -> int:
    """Runs a command on all ranks, which `store` tells where to meet. Returns the exit code."""
    commands = []
    for rank in layout.ranks:
        host = layout.host_of(rank)
        env = SINGLE_THREAD | dict(store) | layout.rank_env(rank) | place.host_env(layout, host)
        commands.append(launch.Command(place.on_host(host, command), env))
    return launch.run(commands)


def run_torch_ring(cluster: Cluster, place: Place, arguments: Sequence[str]) -> None:
    """Runs `torch-ring` with these arguments on all ranks. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", "torch_ring", *arguments]
    if cluster.hosts == 1:
        code = launch.run([launch.Command([*command, "--ranks", str(cluster.ranks)])])
    else:
        store = {
            "MASTER_ADDR": place.address,
            "MASTER_PORT": STORE_PORT,
            "TORCH_CPP_LOG_LEVEL": "ERROR",  # it warns that nobody knows the name of the store's address
        }
        code = run_ranks(cluster.layout, place, command, store | IMPATIENT_RESOLVER)
    if code:
        raise SystemExit(f"{cluster}: torch-ring {arguments[0]} failed")
