"""Open MPI's all_reduce on a cluster, by the program that benchmarks/peers/install builds."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.program import ROOT
from harness import Lab, Place

_PROGRAM = ROOT / "build" / "peers" / "openmpi"
_UNTIMED_CALLS = 3
_MAX_SECONDS = 300  # of one size

# What mpirun calls instead of ssh, as AGENT ADDRESS COMMAND... Open MPI lets processes of one host name share
# memory and a folder, so each host of the lab gets a name of its own.
_AGENT = """#!/bin/sh
case $1 in
{hosts}
esac
shift
exec $on unshare --uts sh -c "hostname $name && $*"
"""


@dataclass(frozen=True)
class MpiRow:
    """One size. The median of each rank's calls, then the slowest rank's."""

    bytes: int
    calls: int
    min_us: float
    median_us: float
    p90_us: float
    cpu_s_per_gb: float | None


@dataclass(frozen=True)
class MpiReport:
    version: str
    command: list[str]  # for one size
    rows: list[MpiRow]


def is_installed() -> bool:
    return _PROGRAM.exists() and shutil.which("mpirun.openmpi") is not None


def measure(cluster: Cluster, place: Place, calls_by_size: Mapping[int, int]) -> MpiReport:
    """Runs mpirun for each size in bytes, with so many timed calls. Raises SystemExit where that fails."""
    with tempfile.TemporaryDirectory(prefix="bench-lab-") as folder:
        mpirun = _mpirun(cluster, place, Path(folder))
        version, rows = "", []
        for size, calls in calls_by_size.items():
            command = [*mpirun, str(_PROGRAM), "-b", str(size), "-e", str(size)]
            command += ["-i", str(calls), "-w", str(_UNTIMED_CALLS)]
            title, table = _run(cluster, place, command)
            version = title.removeprefix("# ").split(",")[0]
            rows += [_row(line, calls) for line in csv.DictReader(table)]
        return MpiReport(version, [_public(word, folder) for word in command], rows)


def _mpirun(cluster: Cluster, place: Place, folder: Path) -> list[str]:
    command = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
    if cluster.ranks > len(os.sched_getaffinity(0)):
        # Its ranks spin while they wait: whoever waits must let the others run.
        command += ["--mca", "mpi_yield_when_idle", "1"]
    if isinstance(place, Lab):
        hosts = folder / "hosts"
        addresses = [place.address_of(host) for host in range(place.hosts)]
        hosts.write_text("".join(f"{address} slots={cluster.ranks_per_host}\n" for address in addresses))
        agent = folder / "agent"
        cases = [
            f'{address}) name={_hostname(place, host)}; on="{shlex.join(place.on_host(host, []))}" ;;'
            for host, address in enumerate(addresses)
        ]
        agent.write_text(_AGENT.format(hosts="\n".join(cases)))
        agent.chmod(0o700)
        command += ["--hostfile", str(hosts), "--mca", "plm_rsh_agent", str(agent)]
        command += ["--mca", "btl", "tcp,self,vader"]
        for network in ("btl_tcp_if_include", "oob_tcp_if_include"):
            command += ["--mca", network, "eth0"]
    return [*command, "-n", str(cluster.ranks)]


def _hostname(lab: Lab, host: int) -> str:
    return f"{lab.name}-{host}"


def _run(cluster: Cluster, place: Place, command: list[str]) -> tuple[str, list[str]]:
    """The line that says what was measured, and the lines of the table."""
    if isinstance(place, Lab):
        name = f'hostname {_hostname(place, 0)} && exec "$@"'
        command = ["unshare", "--uts", "sh", "-c", name, "sh", *command]
    try:
        done = subprocess.run(
            place.on_host(0, command), capture_output=True, text=True, timeout=_MAX_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{cluster}: Open MPI takes more than {_MAX_SECONDS} s") from None
    title, *table = done.stdout.splitlines() or [""]
    if done.returncode or len(table) < 2:
        raise SystemExit(f"{cluster}: Open MPI failed: {done.stderr or done.stdout}")
    return title, table


def _row(line: dict[str, str], calls: int) -> MpiRow:
    if line["wrong"] != "0":
        raise SystemExit(f"Open MPI: wrong results at {line['size_b']} bytes")
    cpu = line["cpu_s_per_gb"]
    return MpiRow(
        bytes=int(line["size_b"]),
        calls=calls,
        min_us=float(line["min_us"]),
        median_us=float(line["time_us"]),
        p90_us=float(line["p90_us"]),
        cpu_s_per_gb=float(cpu) if cpu else None,
    )


def _public(word: str, folder: str) -> str:
    """Without the paths of this machine."""
    return word.replace(f"{folder}/", "").replace(f"{ROOT}/", "")
