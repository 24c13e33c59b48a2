"""The ranks of one layout, seen from outside: submit, run, kill, stacks. Pools keep them for later."""

from __future__ import annotations

import inspect
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_channels
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.layout import Layout
from harness.places import Place, Process
from harness.worker import BACKEND, STACKS_SIGNAL, Outcome, RemoteCall, RemoteError, destroy_group, init_group

DEADLINE = 30.0  # seconds for a call where nothing else is said


class RankError(AssertionError):
    """A call failed on some rank where it should have succeeded on all."""


class HangError(AssertionError):
    """A call did not end in time. The message holds every rank's stacks; its processes have been killed."""


@dataclass
class Pending:
    """A call that some ranks are executing. Wait for it before the next one."""

    job: Job
    what: str
    waiting: set[int]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    submitted: float = field(default_factory=time.monotonic)

    def wait(self, deadline: float = DEADLINE) -> dict[int, Outcome]:
        """The outcome of each rank, dead ranks left out. Raises HangError if one does not answer in time."""
        try:
            until = time.monotonic() + deadline
            while self.waiting:
                ready = wait_channels(self._channels(), max(0.0, until - time.monotonic()))
                if not ready:
                    raise HangError(
                        f"{self.what} did not end within {deadline} s on ranks {sorted(self.waiting)} "
                        f"of {self.job.layout}\n{self.job.stacks()}"
                    )
                for rank in sorted(self.waiting):
                    if self.job.processes[rank].channel in ready:
                        self._receive(rank)
            return dict(sorted(self.outcomes.items()))
        except BaseException:  # this deadline, pytest-timeout's, or Ctrl-C
            self.job.kill_all()
            raise

    def values(self, deadline: float = DEADLINE) -> list[Any]:
        """The value of each rank. Raises RankError if the call failed on any."""
        outcomes = self.wait(deadline)
        failed = {rank: outcome.error for rank, outcome in outcomes.items() if outcome.error}
        if failed:
            self.job.healthy = False
            details = "\n".join(f"rank {rank}: {error.traceback}" for rank, error in failed.items())
            raise RankError(f"{self.what} failed on ranks {sorted(failed)} of {self.job.layout}\n{details}")
        return [outcome.value for outcome in outcomes.values()]

    def _channels(self) -> list[Any]:
        return [self.job.processes[rank].channel for rank in self.waiting]

    def _receive(self, rank: int) -> None:
        self.waiting.discard(rank)
        try:
            self.outcomes[rank] = self.job.processes[rank].receive()
        except EOFError:
            if rank not in self.job.killed:
                process = self.job.processes[rank]
                process.ended_within(5)
                message = f"the process ended with status {process.exit_status}\n{_tail(process.log)}"
                error = RemoteError("ProcessDied", ("ProcessDied",), message, message)
                self.outcomes[rank] = Outcome(error=error, finished=time.monotonic())


class Job:
    """One process for each rank of `layout`, started but in no group yet: see init()."""

    def __init__(
        self,
        place: Place,
        layout: str,
        *,
        env: Mapping[str, str] | None = None,
        rank_env: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        self.layout = Layout.parse(layout)
        self.healthy = True
        self.killed: set[int] = set()
        self.processes: list[Process] = []
        self._store, store_env = place.start_store()
        shared = store_env | dict(env or {})
        try:
            for rank in self.layout.ranks:
                host = self.layout.host_of(rank)
                own = self.layout.rank_env(rank) | place.host_env(self.layout, host)
                own |= shared | dict((rank_env or {}).get(rank, {}))
                self.processes.append(place.start(host, own))
        except BaseException:
            self.kill_all()
            raise

    def init(self, timeout: float = 30.0, backend: str = BACKEND) -> Job:
        """Makes every rank join the default group; `timeout` is the group's."""
        self.run(init_group, timeout, backend, deadline=timeout + 10)
        return self

    def submit(
        self, function: Callable[..., Any], *args: Any, ranks: Iterable[int] | None = None, **kwargs: Any
    ) -> Pending:
        """Starts `function`, of the top level of its module, on `ranks` (default: all not killed)."""
        chosen = set(self.layout.ranks if ranks is None else ranks) - self.killed
        file = inspect.getsourcefile(function)
        assert file and "." not in function.__qualname__, f"{function} is no module-level function"
        depth = function.__module__.count(".") + 1
        path = str(Path(file).resolve().parents[depth - 1])
        call = RemoteCall(path, function.__module__, function.__name__, pickle.dumps((args, kwargs)))
        pending = Pending(self, f"{function.__module__}:{function.__name__}", chosen)
        for rank in chosen:
            with suppress(BrokenPipeError):  # the process died: waiting for it tells so
                self.processes[rank].send(call)
        return pending

    def run(
        self, function: Callable[..., Any], *args: Any, deadline: float = DEADLINE, **kwargs: Any
    ) -> list[Any]:
        """The value of `function` by rank. Raises RankError if it failed on any, HangError if it hangs."""
        return self.submit(function, *args, **kwargs).values(deadline)

    def outcomes(
        self, function: Callable[..., Any], *args: Any, deadline: float = DEADLINE, **kwargs: Any
    ) -> dict[int, Outcome]:
        """The outcome of `function`, a value or an error, on each rank that is not killed."""
        return self.submit(function, *args, **kwargs).wait(deadline)

    def kill(self, rank: int) -> float:
        """Ends `rank` by SIGKILL and returns the time.monotonic() of the kill."""
        self.healthy = False
        self.killed.add(rank)
        now = time.monotonic()
        self.processes[rank].kill()
        return now

    def freeze(self, rank: int) -> None:
        """Stops `rank` by SIGSTOP. Wait for the others only: submit(..., ranks=...)."""
        self.healthy = False
        self.processes[rank].signal(signal.SIGSTOP)

    def thaw(self, rank: int) -> None:
        """Lets a frozen rank go on."""
        self.processes[rank].signal(signal.SIGCONT)

    def alive(self, rank: int) -> bool:
        return self.processes[rank].alive()

    def stacks(self) -> str:
        """Each living rank's Python stacks, native ones where py-spy is there, and the end of its output."""
        for process in self.processes:
            process.signal(STACKS_SIGNAL)
        time.sleep(0.3)
        parts = []
        for rank, process in enumerate(self.processes):
            state = "alive" if process.alive() else f"ended with status {process.exit_status}"
            parts += [
                f"---- rank {rank}, pid {process.pid}, {state}",
                _tail(process.log),
                _native_stacks(process),
            ]
        return "\n".join(part for part in parts if part)

    def kill_all(self) -> None:
        self.healthy = False
        for rank, process in enumerate(self.processes):
            self.killed.add(rank)
            process.kill()
            process.channel.close()
        self._store.kill()
        self._store.channel.close()

    def close(self) -> None:
        """Leaves the group in order where the job is healthy, and ends all of its processes in any case."""
        try:
            if self.healthy:
                self.run(destroy_group, deadline=10)
                for process in self.processes:
                    process.end()
        finally:
            self.kill_all()

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pools:
    """Initialised jobs, one for each layout, that live on from use to use while they are healthy."""

    def __init__(self, place: Place, backend: str = BACKEND) -> None:
        self._place = place
        self._backend = backend
        self._jobs: dict[str, Job] = {}

    def get(self, layout: str) -> Job:
        job = self._jobs.get(layout)
        if job is None or not job.healthy or not all(job.alive(rank) for rank in job.layout.ranks):
            if job:
                job.kill_all()
            self._jobs[layout] = job = Job(self._place, layout).init(backend=self._backend)
        return job

    def close(self) -> None:
        for job in self._jobs.values():
            job.close()

    def __enter__(self) -> Pools:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tail(log: Path, lines: int = 60) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return _narrow(text.splitlines()[-lines:])


def _narrow(lines: Iterable[str]) -> str:
    return "\n".join(line[:200] for line in lines)


def _native_stacks(process: Process) -> str:
    py_spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if not py_spy or not process.alive():
        return ""
    try:
        dump = subprocess.run(
            [py_spy, "dump", "--native", "--pid", str(process.pid)],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except subprocess.TimeoutExpired:
        return "py-spy did not answer"
    return _narrow(dump.stdout.splitlines()) if dump.returncode == 0 else f"py-spy: {dump.stderr.strip()}"
