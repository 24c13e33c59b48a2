"""Where scripts/bench_lab runs its ranks: on this host, or on the hosts of scripts/netlab."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch_ring.cli import launch

ROOT = Path(__file__).resolve().parent.parent
NETLAB = ROOT / "scripts" / "netlab"
STORE_ADDRESS, STORE_PORT = "10.77.0.1", "29500"  # of host 0; nobody else listens there


@dataclass(frozen=True)
class Layout:
    """Hosts x ranks per host @ rate of the hosts' links: "2x4@1gbit"; "1x2" needs no lab and no rate."""

    hosts: int
    local_ranks: int
    rate: str  # as netlab takes it; "" on one host

    @staticmethod
    def parse(text: str) -> Layout:
        """Raises ValueError that says what is allowed."""
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)(?:@([\d.]+[kmg]bit|none))?", text)
        if not found or (int(found[1]) > 1) != (found[3] is not None):
            raise ValueError(f"'{text}': allowed are layouts such as 1x2, 2x2@1gbit and 2x1@none (unshaped)")
        return Layout(int(found[1]), int(found[2]), found[3] or "")

    @property
    def ranks(self) -> int:
        return self.hosts * self.local_ranks

    def title(self) -> str:
        ranks = f"{self.local_ranks} rank{'s' if self.local_ranks > 1 else ''}"
        if self.hosts == 1:
            return f"One host, {ranks}"
        rate = "unshaped links" if self.rate == "none" else f"{self.rate[:-4]} {self.rate[-4].upper()}bit/s"
        return f"{self.hosts} hosts x {ranks}, {rate}"

    def order(self) -> tuple[int, int, float]:
        """Sorts by hosts, ranks, and then the faster link first."""
        units = {"k": 1e3, "m": 1e6, "g": 1e9}
        shaped = self.rate not in ("", "none")
        bits = float(self.rate[:-4]) * units[self.rate[-4]] if shaped else math.inf
        return self.hosts, self.local_ranks, -bits

    def __str__(self) -> str:
        return f"{self.hosts}x{self.local_ranks}" + (f"@{self.rate}" if self.rate else "")


class Place:
    """The hosts of one layout."""

    def __init__(self, layout: Layout, lab: str) -> None:
        self.layout = layout
        self.lab = lab  # its name; "" on one host

    def on_host(self, host: int, command: Sequence[str]) -> list[str]:
        """The command that runs a command there."""
        return (
            ["env", f"LAB={self.lab}", str(NETLAB), "exec", str(host), *command] if self.lab else [*command]
        )

    def torch_ring(self, arguments: Sequence[str]) -> None:
        """Runs `torch-ring` with these arguments on the layout's ranks. Raises SystemExit where it fails."""
        command = [sys.executable, "-m", "torch_ring", *arguments]
        ranks, per_host = self.layout.ranks, self.layout.local_ranks
        if not self.lab:
            commands = [launch.Command([*command, "--ranks", str(ranks)])]
        else:
            where = {
                "MASTER_ADDR": STORE_ADDRESS,
                "MASTER_PORT": STORE_PORT,
                "GLOO_SOCKET_IFNAME": "eth0",
                # torch asks the resolver for the store's name, and in the lab nobody answers.
                "RES_OPTIONS": "timeout:1 attempts:1",
                "TORCH_CPP_LOG_LEVEL": "ERROR",  # it warns that it found no name
            }
            commands = [
                launch.Command(
                    self.on_host(rank // per_host, command),
                    where | launch.rank_env(rank, ranks, rank % per_host, per_host),
                )
                for rank in range(ranks)
            ]
        code = launch.run(commands)
        if code:
            raise SystemExit(f"bench_lab: {self.layout}: torch-ring {arguments[0]} failed")

    def goodput_gbit(self, seconds: int) -> float | None:
        """What iperf3 gets through a link in each direction with both in use; None where there is no link."""
        if not self.lab:
            return None
        output = netlab(self.lab, "check", str(seconds))
        found = re.search(r"both directions +([\d.]+) and back ([\d.]+) Mbit/s", output)
        if not found:
            raise SystemExit(f"bench_lab: netlab check says:\n{output}")
        return min(float(found[1]), float(found[2])) / 1e3


@contextmanager
def built(layout: Layout) -> Iterator[Place]:
    """Builds the lab, and takes it down."""
    if layout.hosts == 1:
        yield Place(layout, "")
        return
    lab = f"bench-lab-{os.getpid()}"
    try:
        netlab(lab, "up", str(layout.hosts), layout.rate)
        yield Place(layout, lab)
    finally:
        netlab(lab, "down")


def netlab(lab: str, *arguments: str) -> str:
    done = subprocess.run(
        [NETLAB, *arguments], env=os.environ | {"LAB": lab}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench_lab: netlab {' '.join(arguments)}: {done.stderr or done.stdout}")
    return done.stdout
