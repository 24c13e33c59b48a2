"""The libraries that are compared: which are there, how one run of each is started, and what it told.

Called by __main__.py. ring_perf and the programs of csrc/bench/peers print the same CSV.
"""

from __future__ import annotations

import csv
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.program import ROOT

# As ring_perf calls them: "send" is to the next rank, while the one before sends to this one.
COLLECTIVES = (
    "all_reduce",
    "reduce",
    "reduce_scatter",
    "broadcast",
    "all_gather",
    "all_to_all",
    "gather",
    "scatter",
    "send",
    "barrier",
)
RING = "ring"
# No library: how long all ranks take to copy a tensor at the same time, beside all_reduce.
MEMCPY = "memcpy"
BESIDE = "all_reduce"

_BUILD = ROOT / "build" / "cpp"
_BUILD_SECONDS = 900
_RING_PERF = _BUILD / "ring_perf"
_SOURCES = ROOT / "csrc" / "bench"
_PEERS = ("openmpi", "intelmpi", "oneccl")
_PEER_PROGRAMS = ROOT / "build" / "peers"
_RUN_PEER = ROOT / "benchmarks" / "peers" / "run"
_WRONG_OPTIONS = 2  # what ring_perf exits with
_SECONDS_TO_END = 10.0
_PING_PONG = re.compile(r"^# ping-pong of a cache line, (before|after): ([0-9.]+) ns")

Row = dict[str, str]
Average = Callable[[Sequence[float]], float]


class FailedRun(Exception):
    """Says what was run, and how it failed."""


@dataclass
class Contender:
    """One library: how it is run, what it calls itself, and its rows, one of each round."""

    name: str
    command: list[str]
    title: str = ""
    rows: dict[str, dict[int, list[Row]]] = field(default_factory=dict)  # by collective and size
    failures: dict[str, str] = field(default_factory=dict)  # by collective, which it is not asked for again

    def runs(self, collective: str) -> bool:
        return collective not in self.failures and (self.name != MEMCPY or collective == BESIDE)

    def measures(self, collective: str) -> str:
        """What ring_perf or the peer's program is told to measure."""
        return MEMCPY if self.name == MEMCPY else collective

    def over_rounds(self, average: Average, collective: str, size: int, column: str) -> float | None:
        """None where it has not measured that."""
        rows = self.rows.get(collective, {}).get(size, [])
        values = [float(row[column]) for row in rows if row[column]]
        return average(values) if values else None

    def take(self, collective: str, rows: list[Row]) -> None:
        by_size = self.rows.setdefault(collective, {})
        for row in rows:
            by_size.setdefault(int(row["size_b"]), []).append(row)

    def fail(self, collective: str, why: str) -> None:
        """What it measured in earlier rounds counts no more."""
        self.failures[collective] = why
        self.rows.pop(collective, None)


@dataclass
class Circumstances:
    """What ring_perf says of the machine."""

    title: str = ""
    ping_pongs_ns: list[float] = field(default_factory=list)


def installed() -> list[Contender]:
    """ring first, memcpy last. Raises SystemExit where no peer is installed, or one is out of date."""
    ring_perf = [str(_RING_PERF), "-m", "csv"]
    peers = [name for name in _PEERS if (_PEER_PROGRAMS / name).exists()]
    if not peers:
        raise SystemExit("peers: none is installed; run: benchmarks/peers/install")
    changed = max(path.stat().st_mtime for path in _SOURCES.rglob("*") if path.suffix in (".h", ".cc"))
    old = [name for name in peers if (_PEER_PROGRAMS / name).stat().st_mtime < changed]
    if old:
        raise SystemExit(
            f"peers: built before csrc/bench changed; run: benchmarks/peers/install {' '.join(old)}"
        )
    return [
        Contender(RING, ring_perf, "libring"),
        *(Contender(name, [str(_RUN_PEER), name]) for name in peers),
        Contender(MEMCPY, ring_perf, "all ranks copy a tensor at the same time"),
    ]


def build_ring_perf() -> None:
    """Does nothing where all is up to date."""
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(_BUILD), "-DRING_BENCH=ON"],
        ["cmake", "--build", str(_BUILD), "--target", _RING_PERF.name],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
        if done.returncode != 0:
            raise SystemExit(f"peers: ring_perf cannot be built:\n{done.stdout}{done.stderr}")


def run(
    contender: Contender, collective: str, options: list[str], timeout: float, circumstances: Circumstances
) -> None:
    """One round of it. Raises FailedRun, and SystemExit where ring_perf refuses the options."""
    command = [*contender.command, "-t", contender.measures(collective), *options]
    what = f"{contender.name} {contender.measures(collective)}"
    code, out, err = _finish(what, command, timeout)
    lines = out.splitlines()
    head = next((i for i, line in enumerate(lines) if line.startswith("size_b,")), None)
    if contender.name == RING and code == _WRONG_OPTIONS:
        raise SystemExit(f"peers: {err.strip()}")
    if head is None:
        raise FailedRun(f"{what} failed with {code}:\n{out}{err}")
    rows = list(csv.DictReader(line for line in lines[head:] if not line.startswith("#")))
    for row in rows:
        if int(row["wrong"]) > 0:
            raise FailedRun(f"{what} has {row['wrong']} wrong elements at {row['size_b']} bytes")
    if code != 0:
        raise FailedRun(f"{what} failed with {code}:\n{out}{err}")
    contender.take(collective, rows)
    if contender.name == RING:
        circumstances.title = lines[0].lstrip("# ")
        circumstances.ping_pongs_ns += [
            float(match[2]) for line in lines if (match := _PING_PONG.match(line))
        ]
    elif not contender.title:
        contender.title = lines[head - 1].lstrip("# ").split(",")[0]


def _finish(what: str, command: list[str], timeout: float) -> tuple[int, str, str]:
    """Exit code and output. However this ends, the ranks have ended with it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise FailedRun(f"{what} did not end within {timeout:.0f} s") from None
        finally:
            if process.poll() is None:
                # mpirun and mpiexec end their ranks when asked to, and leave them behind when killed.
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_SECONDS_TO_END)
                except subprocess.TimeoutExpired:
                    process.kill()
    return process.returncode, out, err


def write_csv(path: Path, contenders: Sequence[Contender]) -> None:
    """The rows of every round."""
    rows = [
        {"contender": one.name, "collective": one.measures(collective), "round": number, **row}
        for one in contenders
        for collective, by_size in one.rows.items()
        for of_size in by_size.values()
        for number, row in enumerate(of_size, start=1)
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["contender", "collective", "round"])
        writer.writeheader()
        writer.writerows(rows)
