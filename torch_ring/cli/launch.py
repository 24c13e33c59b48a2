"""Starts a command's ranks as processes and sees to it that they end together.

Called by the commands, and by the benchmarks for ranks on the hosts of a lab.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

import typer
from torch._C._distributed_c10d import TCPStore

from torch_ring.cli import options
from torch_ring.cli.groups import Groups, WrongResultError, joined

_POLL = 0.02  # seconds
_GRACE = 3.0  # seconds that a rank has to end by itself when it is told to


@dataclass(frozen=True)
class Command:
    """What one rank runs, and the variables it needs besides this process's own."""

    arguments: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def rank_env(rank: int, ranks: int, local_rank: int, local_ranks: int) -> dict[str, str]:
    """What torchrun would tell a rank, but for where the store is."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(local_ranks),
        "OMP_NUM_THREADS": "1",
    }


def as_rank(ranks: int, backends: Sequence[str], work: Callable[[Groups], None]) -> None:
    """Does the work on each of the ranks: those of the launcher that started this process, or else its own.

    Exits with 1 where a result is wrong, or with what a rank that failed exited with.
    """
    if not options.has_launcher():
        raise typer.Exit(run_here(ranks))
    with joined(backends) as groups:
        try:
            work(groups)
        except WrongResultError as error:
            if groups.rank == 0:
                print(f"torch-ring: {error}", file=sys.stderr)
            raise typer.Exit(1) from error


def run_here(ranks: int) -> int:
    """Runs the command of this process again as so many ranks of this host; returns the exit code."""
    # The store is this process's own: the kernel chooses its port, and nobody can take it in between.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    where = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }
    again = [sys.executable, "-m", "torch_ring", *sys.argv[1:]]
    return run([Command(again, where | rank_env(rank, ranks, rank, ranks)) for rank in range(ranks)])


def run(commands: Sequence[Command]) -> int:
    """Runs one process per rank until all have ended, or one has failed, which ends the others.

    Returns the exit code for all of them: 0, or that of a rank that failed, or 1 where a signal killed it.
    What happened is on stderr. Must be called by the main thread, for it takes over SIGTERM and SIGHUP.
    """
    old = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            # In a session of its own: Ctrl-C reaches this process, which then ends the ranks in order.
            process = subprocess.Popen(
                command.arguments, env=os.environ | dict(command.env), start_new_session=True
            )
            processes.append(process)
        failed = _first_failures(processes)
        for rank, code in failed.items():
            print(f"torch-ring: rank {rank} {_ending(code)}; the run is over", file=sys.stderr)
        return max((code if code > 0 else 1 for code in failed.values()), default=0)
    except KeyboardInterrupt:
        print("torch-ring: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        _end(processes)
        for number, handler in old.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _first_failures(processes: Sequence[subprocess.Popen[bytes]]) -> dict[int, int]:
    """Waits; the exit codes by rank that were not 0 when the first of them was seen."""
    while True:
        codes = [process.poll() for process in processes]
        failed = {rank: code for rank, code in enumerate(codes) if code}
        if failed or None not in codes:
            return failed
        time.sleep(_POLL)


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _GRACE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
