"""Strangers on a rank's port are dropped and cost the job nothing: no error, no wrong result, no leak."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import torch
import torch.distributed as dist

from harness import Job, init_group
from harness.proc import descriptors, listening_ports
from support.faults import reduce_once

LAYOUTS = ("4x1", "2+1")
SIZES = (1, 8, 64, 1 << 16, 1 << 20)
CROWD = 300  # connections that are open at once and never say a word
PATIENCE = 3  # seconds that a rank gives a stranger to say who it is


def reduce_and_check(seconds: float) -> int:
    """all_reduces with known results, for as long as rank 0's clock says; how many there were."""
    rank, size = dist.get_rank(), dist.get_world_size()
    until = time.monotonic() + seconds
    for number in range(1 << 30):
        tensor = torch.full((200_000,), float(rank + number))
        dist.all_reduce(tensor)
        expected = float(size * (size - 1) // 2 + size * number)
        assert torch.equal(tensor, torch.full_like(tensor, expected)), f"all_reduce {number} is wrong"
        stop = torch.tensor([rank == 0 and time.monotonic() > until])
        dist.all_reduce(stop, op=dist.ReduceOp.MAX)
        if stop:
            return number
    raise AssertionError("unreachable")


def join_late() -> float:
    """Joins the group, and leaves the strangers some time before the first collective."""
    init_group()
    time.sleep(0.5)
    return reduce_once(1_000_000)


@contextmanager
def visit(port: int, words: bytes = b"") -> Iterator[socket.socket]:
    """A connection that says `words`, as many of them as the other side takes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.settimeout(0.5)
        with suppress(OSError):  # being thrown out is what we expect
            connection.sendall(words)
        yield connection


def is_dropped(connection: socket.socket, within: float) -> bool:
    """Whether the other side ends the connection, and says nothing of its secrets before."""
    deadline = time.monotonic() + within
    connection.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            if not connection.recv(1 << 16):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def ports_of(job: Job) -> list[int]:
    ports = [port for process in job.processes for port in listening_ports(process.pid)]
    assert ports, "between hosts, somebody must listen"
    return ports


def open_descriptors(job: Job) -> list[int]:
    return [len(descriptors(process.pid)) for process in job.processes]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_during_all_reduces(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout, env={"TORCH_RING_CONNECT_TIMEOUT_S": str(PATIENCE)}).init()
    job.run(reduce_once, 1_000_000)
    before = open_descriptors(job)
    ports = ports_of(job)
    pending = job.submit(reduce_and_check, 4.0)
    with ExitStack() as visitors:
        crowd = [visitors.enter_context(visit(ports[each % len(ports)])) for each in range(CROWD)]
        for port in ports:
            for size in SIZES:
                with visit(port, os.urandom(size)):
                    pass
            shouting = visitors.enter_context(visit(port, os.urandom(SIZES[-1])))
            assert is_dropped(shouting, within=5)
        dribbling = visitors.enter_context(visit(ports[0]))
        with suppress(OSError):
            for _ in range(20):
                dribbling.sendall(b"x")
                time.sleep(0.05)
        assert min(pending.values(60)) > 10, "the strangers brought the job to a standstill"
        deadline = time.monotonic() + PATIENCE + 2
        for silent in crowd:
            assert is_dropped(silent, within=deadline - time.monotonic()), "silent strangers stay for ever"
    job.run(reduce_once)
    deadline = time.monotonic() + 5
    while open_descriptors(job) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_descriptors(job) == before, "open descriptors of the ranks, and before"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_during_init(launch: Callable[..., Job], layout: str) -> None:
    """The strangers come as soon as anybody listens, when the ranks have yet to connect to each other."""
    job = launch(layout)
    joining = job.submit(join_late)
    with ExitStack() as visitors:
        deadline = time.monotonic() + 10
        while not (ports := [port for p in job.processes for port in listening_ports(p.pid)]):
            assert time.monotonic() < deadline, "nobody listens"
        for each in range(60):
            words = os.urandom(SIZES[each % 4]) if each % 2 else b""
            visitors.enter_context(visit(ports[each % len(ports)], words))
        assert joining.values() == [float(sum(job.layout.ranks))] * job.layout.world_size
