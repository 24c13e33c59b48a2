"""What runs inside a rank's process: calls the functions that it is told and reports what happened.

The protocol, on a socket pair: the caller sends a pickled RemoteCall, the worker answers with a pickled
Outcome; the end of the stream ends the worker. A worker never exits because a call failed, so that a test
can look at every survivor.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

BACKEND = os.environ.get("RING_TEST_BACKEND", "ring")
STACKS_SIGNAL = signal.SIGUSR1


@dataclass(frozen=True)
class RemoteCall:
    """A module-level function and its pickled arguments, which may need `path` for their own modules."""

    path: str
    module: str
    name: str
    arguments: bytes


@dataclass(frozen=True)
class RemoteError:
    """An exception raised in a worker: exceptions themselves do not always survive pickling."""

    type_name: str
    ancestors: tuple[str, ...]
    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> RemoteError:
        ancestors = tuple(ancestor.__name__ for ancestor in type(error).__mro__)
        return cls(type(error).__name__, ancestors, str(error), traceback.format_exc())

    def is_a(self, type_name: str) -> bool:
        return type_name in self.ancestors


@dataclass(frozen=True)
class Outcome:
    """What a call came to. The times are time.monotonic(), which all processes of a machine share."""

    value: Any = None
    error: RemoteError | None = None
    started: float = 0.0
    finished: float = 0.0

    @property
    def seconds(self) -> float:
        return self.finished - self.started


def init_group(timeout: float = 30.0, backend: str = BACKEND) -> None:
    """Joins the job's default group as a user does under torchrun: the rest comes from the environment."""
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))


def destroy_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


_store: TCPStore | None = None


def start_store(address: str) -> int:
    """Starts the store that a job's ranks meet in, and returns its port, which the kernel chose."""
    global _store
    _store = TCPStore(address, 0, is_master=True, wait_for_workers=False)
    return int(_store.port)


def serve(channel: Connection, log: int, env: dict[str, str]) -> None:
    """The life of a worker, from its birth by fork to the end of the starter's stream."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(env)
    faulthandler.enable(file=2)
    faulthandler.register(STACKS_SIGNAL, file=2, all_threads=True)
    torch.set_num_threads(1)
    while True:
        try:
            call = pickle.loads(channel.recv_bytes())
        except EOFError:
            return
        outcome = _perform(call)
        try:
            answer = pickle.dumps(outcome)
        except Exception as error:
            answer = pickle.dumps(Outcome(error=RemoteError.of(error)))
        try:
            channel.send_bytes(answer)
        except OSError:
            return
        sys.stdout.flush()
        sys.stderr.flush()


def _perform(call: RemoteCall) -> Outcome:
    started = time.monotonic()
    try:
        if call.path not in sys.path:
            sys.path.insert(0, call.path)
        function = getattr(importlib.import_module(call.module), call.name)
        args, kwargs = pickle.loads(call.arguments)
        started = time.monotonic()
        value = function(*args, **kwargs)
        return Outcome(value=value, started=started, finished=time.monotonic())
    except BaseException as error:  # pytest.raises reports its failure by no mere Exception
        finished = time.monotonic()
        return Outcome(error=RemoteError.of(error), started=started, finished=finished)
