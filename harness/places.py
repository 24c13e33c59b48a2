"""Where ranks run: places with hosts. Loopback makes them up, those of lab.py are namespaces."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from harness import worker
from harness.layout import Layout
from harness.worker import Outcome, RemoteCall
from harness.zygote import MAX_REQUEST, Fork, Reap

ROOT = Path(__file__).resolve().parents[1]

# What each rank is told by its job or by its place, so must not leak in from the shell that starts the job.
RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# One thread for each numeric library: ranks outnumber cores, and only a process of one thread may fork.
SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# torch's TCPStore asks the resolver for the name behind an address: let that be quick where nobody answers.
IMPATIENT_RESOLVER = {"RES_OPTIONS": "timeout:1 attempts:1"}


@dataclass
class Process:
    """A worker process, seen from outside."""

    zygote: Zygote
    pid: int
    channel: Connection
    log: Path
    exit_status: int | None = None

    def send(self, call: RemoteCall) -> None:
        self.channel.send_bytes(pickle.dumps(call))

    def receive(self) -> Outcome:
        """Raises EOFError when the process is gone."""
        try:
            outcome = pickle.loads(self.channel.recv_bytes())
        except ConnectionResetError:
            raise EOFError from None
        assert isinstance(outcome, Outcome)
        return outcome

    def alive(self) -> bool:
        if self.exit_status is None:
            self.exit_status = self.zygote.request(Reap(self.pid))
        return self.exit_status is None

    def signal(self, number: int) -> None:
        if self.alive():
            os.kill(self.pid, number)

    def ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if not self.ended_within(10):
            raise RuntimeError(f"process {self.pid} does not end after SIGKILL")

    def end(self) -> None:
        """Lets the worker leave by itself, as it does when its channel closes; kills it where it does not."""
        self.channel.close()
        if not self.ended_within(2):
            self.kill()


class Zygote:
    """This end of a zygote process, started by `prefix` (a command that runs a command)."""

    def __init__(self, prefix: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(60)  # the first answer comes when torch is imported
        env = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
        env |= SINGLE_THREAD | IMPATIENT_RESOLVER
        with theirs:
            self._process = subprocess.Popen(
                [
                    *prefix,
                    sys.executable,
                    "-c",
                    # Workers find modules where this process finds them.
                    f"import sys; sys.path[:] = {sys.path!r}\n"
                    f"from harness import zygote; zygote.main({theirs.fileno()}, *{tuple(modules)!r})",
                ],
                env=env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for this process, which then ends everything in order
            )

    def fork(self, env: dict[str, str], log: Path) -> Process:
        ours, theirs = socket.socketpair()
        with theirs, log.open("wb") as output:
            pid = self.request(Fork(env), theirs.fileno(), output.fileno())
        return Process(self, pid, Connection(ours.detach()), log)

    def request(self, request: Fork | Reap, *descriptors: int) -> Any:
        socket.send_fds(self._requests, [pickle.dumps(request)], descriptors)
        answer = self._requests.recv(MAX_REQUEST)
        if not answer:
            raise RuntimeError("the zygote process ended: its own output says why")
        return pickle.loads(answer)

    def close(self) -> None:
        self._requests.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Place:
    """Runs commands and starts workers on its hosts, and the stores that ranks meet in.

    Zygotes, one on each host, start with the first worker. They import `modules` once, before: where each
    worker would import them by itself, that takes seconds.
    """

    address: str  # of host 0, where the store listens
    hosts = 1  # that there are in truth: a layout may have more, which then share them

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._modules = tuple(modules)
        self._zygotes: list[Zygote] = []
        self._logs = tempfile.TemporaryDirectory(prefix="ring-ranks-")
        self._serial = itertools.count()

    def on_host(self, host: int, command: Sequence[str]) -> list[str]:
        """The command that runs a command there."""
        raise NotImplementedError

    def host_env(self, layout: Layout, host: int) -> dict[str, str]:
        raise NotImplementedError

    def start(self, host: int, env: dict[str, str]) -> Process:
        if not self._zygotes:
            self._zygotes = [Zygote(self.on_host(number, []), self._modules) for number in range(self.hosts)]
        log = Path(self._logs.name) / f"{next(self._serial)}-rank{env.get('RANK', '')}.log"
        return self._zygotes[host % self.hosts].fork(env, log)

    def start_store(self) -> tuple[Process, dict[str, str]]:
        """A store for one job, as torchrun's agent runs it, and the environment that tells ranks of it.

        In a process of its own, for the ranks may all be killed, and on a port that the kernel chooses.
        Each job needs its own: a second job would read the addresses that the first one left.
        """
        process = self.start(0, {})
        arguments = pickle.dumps(((self.address,), {}))
        process.send(RemoteCall(str(ROOT), worker.__name__, "start_store", arguments))
        if not process.channel.poll(30):
            raise RuntimeError("the store does not start")
        outcome = process.receive()
        if outcome.error:
            raise RuntimeError(f"the store does not start: {outcome.error.traceback}")
        where = {"MASTER_ADDR": self.address, "MASTER_PORT": str(outcome.value)}
        return process, where | {"TORCHELASTIC_USE_AGENT_STORE": "True"}

    def close(self) -> None:
        for zygote in self._zygotes:
            zygote.close()
        self._logs.cleanup()

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Loopback(Place):
    """All ranks on this host; where a layout has several hosts, TORCH_RING_HOST_ID makes them up."""

    address = "127.0.0.1"

    def on_host(self, host: int, command: Sequence[str]) -> list[str]:
        return [*command]

    def host_env(self, layout: Layout, host: int) -> dict[str, str]:
        identity = {"TORCH_RING_HOST_ID": f"host{host}"} if layout.hosts > 1 else {}
        return {"GLOO_SOCKET_IFNAME": "lo"} | identity
