"""Signal handlers of Python run while a rank waits, and what they raise leaves the wait."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.distributed_c10d import _get_default_store

from harness import Job
from torch_ring import RingAbortedError, RingPeerError
from torch_ring._backend import load

SOON = 1.0  # from the signal to its handler
LARGE = 3_000_000


class StopError(Exception):
    """What a handler raises."""


def form(store: Any, rank: int) -> Any:
    options = load().Options()
    options._timeout = timedelta(seconds=20)
    return load().RingBackend(store, rank, 2, options)


def own_store() -> Any:
    """A connection of its own: a wait in another one does not stop it."""
    store: Any = _get_default_store()
    return store.clone()


# Each waits for the other rank, to the same end whichever comes first.
def reduce_small() -> object:
    return dist.all_reduce(torch.ones(10))


def reduce_large() -> object:
    return dist.all_reduce(torch.ones(LARGE))


def reduce_async() -> object:
    return dist.all_reduce(torch.ones(LARGE), async_op=True).wait()


def exchange() -> object:
    if dist.get_rank() == 0:
        return dist.recv(torch.ones(10), 1)
    return dist.send(torch.ones(10), 0)


def new_group() -> object:
    return form(PrefixStore("new", _get_default_store()), dist.get_rank())


WAITS = (reduce_small, reduce_large, reduce_async, dist.barrier, exchange, new_group)


def on_signal(work: Callable[[], None]) -> dict[str, float]:
    """Has `work` done by the handler of a signal that comes soon; returns when it came and was handled."""
    times: dict[str, float] = {}

    def handler(signum: int, frame: FrameType | None) -> None:
        times["handled"] = time.monotonic()
        work()

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    times["due"] = time.monotonic() + 0.3
    return times


def be_handled_while_waiting(which: int) -> float:
    """The other rank comes when the handler of this one has run, and not before. Returns the delay."""
    wait, key = WAITS[which], f"handled {which}"
    store: Any = own_store()
    if dist.get_rank() == 1:
        store.wait([key], timedelta(seconds=10))
        wait()
        return 0.0
    times = on_signal(lambda: store.set(key, "yes"))
    wait()
    return times["handled"] - times["due"]


def leave_a_wait(which: int) -> float:
    """The exception comes out; the operation goes on, with its memory, and the group with it."""
    wait, key = WAITS[which], f"left {which}"
    store: Any = own_store()
    if dist.get_rank() == 1:
        store.wait([key], timedelta(seconds=10))
        if wait is not new_group:
            wait()
        delay = 0.0
    else:

        def stop() -> None:
            raise StopError("enough")

        times = on_signal(stop)
        with pytest.raises(StopError, match="enough"):
            wait()
        delay = time.monotonic() - times["due"]
        gc.collect()
        filler = [torch.full((10,), 7.0) for _ in range(1000)]  # would take the memory if it were free
        store.set(key, "yes")
        if wait is exchange:  # what came was taken by the receive that went on
            dist.barrier()
        assert all(float(each[0]) == 7.0 for each in filler)
    if wait is exchange and dist.get_rank() == 1:
        dist.barrier()
    dist.all_reduce(total := torch.ones(LARGE))
    assert float(total[0]) == float(total[-1]) == 2
    return delay


def use_the_group_in_a_handler() -> None:
    """A checkpoint at a signal, which needs the group in which the signal was noticed."""
    store: Any = own_store()
    total = torch.ones(10)
    inner = torch.ones(5)
    if dist.get_rank() == 1:
        store.wait(["in the handler"], timedelta(seconds=10))
        dist.all_reduce(total)
        dist.all_reduce(inner)
    else:

        def checkpoint() -> None:
            store.set("in the handler", "yes")
            dist.all_reduce(inner)

        on_signal(checkpoint)
        dist.all_reduce(total)
    assert int(total[0]) == 2 and int(inner[0]) == 2


def destroy_in_a_handler() -> None:
    """What some programs do at SIGTERM: the call ends as any does whose group is shut down."""
    dist.barrier()
    if dist.get_rank() == 0:
        on_signal(dist.destroy_process_group)
        with pytest.raises(RingAbortedError, match="shut down"):
            dist.all_reduce(torch.ones(LARGE))
    else:
        with pytest.raises(RingPeerError, match="left the group"):
            dist.recv(torch.ones(LARGE), 0)


def wait_in_a_thread() -> float:
    """The main thread is in Python, and the handler runs there; the thread that waits is left alone."""
    from concurrent.futures import ThreadPoolExecutor

    store: Any = own_store()
    if dist.get_rank() == 1:
        store.wait(["noticed"], timedelta(seconds=10))
        dist.all_reduce(torch.ones(10))
        return 0.0
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(reduce_small)
        times = on_signal(lambda: store.set("noticed", "yes"))
        waiting.result(timeout=10)
        return times["handled"] - times["due"]


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_handlers_run_while_a_rank_waits(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init()
    for which, wait in enumerate(WAITS):
        delay = job.run(be_handled_while_waiting, which)[0]
        assert delay < SOON, f"{wait.__name__}: {delay} s"


@pytest.mark.parametrize("which", range(len(WAITS)), ids=[wait.__name__ for wait in WAITS])
@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_what_a_handler_raises_leaves_the_wait(launch: Callable[..., Job], layout: str, which: int) -> None:
    assert launch(layout).init().run(leave_a_wait, which)[0] < SOON


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_a_handler_may_use_the_group(launch: Callable[..., Job], layout: str) -> None:
    launch(layout).init().run(use_the_group_in_a_handler)


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_a_handler_may_destroy_the_group(launch: Callable[..., Job], layout: str) -> None:
    launch(layout).init().run(destroy_in_a_handler)


def test_another_thread_that_waits_is_no_matter(launch: Callable[..., Job]) -> None:
    assert launch("1x2").init().run(wait_in_a_thread)[0] < SOON


PROGRAM = """
import os, signal, sys, torch, torch.distributed as dist
from datetime import timedelta
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
rank = int(sys.argv[1])
dist.init_process_group("ring", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2,
                        timeout=timedelta(seconds=30))
dist.all_reduce(torch.ones(1))
print("ready", flush=True)
dist.all_reduce(torch.ones(10)) if rank == 0 else sys.stdin.read()
"""


def test_ctrl_c_ends_a_program_that_waits(tmp_path: Path) -> None:
    """As Ctrl-C ends every program in Python, and quickly; the peer goes on."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / "store")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for each in ranks:
            assert each.stdout is not None and each.stdout.readline() == "ready\n"
        os.kill(ranks[0].pid, signal.SIGINT)
        _, complaint = ranks[0].communicate(timeout=5)
        assert ranks[0].returncode == -signal.SIGINT, complaint
        assert "KeyboardInterrupt" in complaint.splitlines()[-1]
        _, complaint = ranks[1].communicate("", timeout=5)
        assert ranks[1].returncode == 0, complaint
    finally:
        for each in ranks:
            each.kill()
            each.communicate(timeout=5)
