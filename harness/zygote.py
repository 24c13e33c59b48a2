"""A process with torch imported that forks workers: a rank starts in milliseconds instead of seconds.

It lives in main(FD), FD one end of a SOCK_SEQPACKET pair on which requests come and answers go. It has a
single thread, so that forking is safe. It alone reaps its children, and only when asked: until then a pid
that the caller knows cannot come to mean another process. When the caller's end of the pair closes, however
it ended, it kills its children and exits.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import socket
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from harness import worker


@dataclass(frozen=True)
class Fork:
    """Fork a worker; its channel and its log file come along as descriptors. Answer: its pid."""

    env: dict[str, str]


@dataclass(frozen=True)
class Reap:
    """Collect a worker that ended. Answer: its exit status (negative: the signal); None while it runs."""

    pid: int


MAX_REQUEST = 1 << 16


def main(fd: int, *modules: str) -> None:
    """`modules` are what these workers import later: paid for once, here, instead of by each of them."""
    requests = socket.socket(fileno=fd)
    for module in modules:
        importlib.import_module(module)
    children: set[int] = set()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that all workers share
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST, maxfds=2)
        if not message:
            break
        answer: int | None
        match pickle.loads(message):
            case Fork(env):
                answer = os.fork()
                if answer == 0:
                    requests.close()
                    _be_worker(Connection(descriptors[0]), descriptors[1], env)
                children.add(answer)
                for descriptor in descriptors:
                    os.close(descriptor)
            case Reap(pid):
                answer = _reap(pid)
                if answer is not None:
                    children.discard(pid)
            case request:
                raise ValueError(f"unknown request {request!r}")
        requests.send(pickle.dumps(answer))
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _be_worker(channel: Connection, log: int, env: dict[str, str]) -> None:
    status = 1
    try:
        worker.serve(channel, log, env)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _reap(pid: int) -> int | None:
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None
