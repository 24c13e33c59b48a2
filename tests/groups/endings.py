"""Ranks that come to their end in various ways: what test_exit.py runs, in a fresh interpreter.

    python endings.py FOLDER BACKEND:CASE...

For each, two ranks are forked, before anything but `import torch` has happened. They end as an interpreter
does that has reached the end of its program. Prints as JSON what became of each.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

DEADLINE = 20.0  # seconds for a rank to start, work and end
_keep: list[Any] = []  # what lives until the interpreter's end


def _all_reduce(**options: Any) -> Any:
    return dist.all_reduce(torch.ones(1000), **options)


def destroyed(rank: int) -> None:
    _all_reduce()
    dist.destroy_process_group()


def not_destroyed(rank: int) -> None:
    _all_reduce()


def never_used(rank: int) -> None:
    pass


def many_groups(rank: int) -> None:
    for _ in range(10):
        _keep.append(dist.new_group())
        _all_reduce(group=_keep[-1])


def raises(rank: int) -> None:
    _all_reduce()
    raise ValueError("the user's own mistake")


def exits(rank: int) -> None:
    _all_reduce()
    sys.exit(3)


def raises_while_the_other_waits(rank: int) -> None:
    _all_reduce()
    if rank == 1:
        raise ValueError("the user's own mistake")
    _all_reduce()


def never_waited(rank: int) -> None:
    """Ends at once after calls that complete by themselves, if there is time. Some works live on."""
    _keep.extend([_all_reduce(async_op=True) for _ in range(20)][::2])


def pending(rank: int) -> None:
    """Rank 1 calls nothing, so that these cannot complete."""
    if rank == 0:
        _keep.extend([_all_reduce(async_op=True) for _ in range(20)][::2])
        _keep.append(dist.all_reduce(torch.ones(4_000_000), async_op=True))


def pending_messages(rank: int) -> None:
    tensor = torch.ones(1000)
    _keep.append(dist.irecv(tensor, src=1 - rank, tag=1))
    _keep.append(dist.isend(tensor, dst=1 - rank, tag=2))


def pending_with_callback(rank: int) -> None:
    """A callback in Python, which must not be run when there is no interpreter any more."""
    if rank == 0:
        future = _all_reduce(async_op=True).get_future()
        _keep.append(future.then(lambda done: done.value()[0].sum()))


def pending_when_it_raises(rank: int) -> None:
    if rank == 0:
        _keep.append(_all_reduce(async_op=True))
    raise ValueError("the user's own mistake")


def a_thread_waits(rank: int) -> None:
    """A daemon thread is inside a call when the interpreter ends. It may still say what it raises."""
    if rank == 0:
        threading.Thread(target=_all_reduce, daemon=True).start()
    time.sleep(0.1 if rank == 0 else 0.5)


def cleans_up_at_exit(rank: int) -> None:
    """See clean_up(), which was registered before the group was made."""
    _at_the_end.append(lambda: _all_reduce())


def cleans_up_by_a_finalizer(rank: int) -> None:
    _at_the_finalizers.append(lambda: _all_reduce())


class _Owner:
    pass


_owner = _Owner()
_at_the_end: list[Callable[[], None]] = []
_at_the_finalizers: list[Callable[[], None]] = []


def clean_up(work: list[Callable[[], None]]) -> None:
    for each in work:
        each()


def register_clean_ups() -> None:
    """As checkpointers and trackers do, before there is a group."""
    atexit.register(clean_up, _at_the_end)
    weakref.finalize(_owner, clean_up, _at_the_finalizers)


CASES: dict[str, Callable[[int], None]] = {
    case.__name__: case
    for case in (
        *(destroyed, not_destroyed, never_used, many_groups, raises, exits, raises_while_the_other_waits),
        *(never_waited, pending, pending_messages),
        *(pending_with_callback, pending_when_it_raises, a_thread_waits),
        *(cleans_up_at_exit, cleans_up_by_a_finalizer),
    )
}


def be_rank(rank: int, case: str, backend: str, folder: Path) -> None:
    output = os.open(folder / f"{rank}.stderr", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 2)
    os.dup2(output, 1)
    register_clean_ups()
    dist.init_process_group(
        backend,
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=DEADLINE),
    )
    try:
        CASES[case](rank)
    finally:
        (folder / f"{rank}.end").write_text(str(time.monotonic()))


def watch(pids: list[int], folder: Path) -> list[dict[str, Any]]:
    """Waits until both have ended, or ends them at the deadline: then their code is that of SIGKILL."""
    until = time.monotonic() + DEADLINE
    ended: dict[int, tuple[int, float]] = {}
    while len(ended) < len(pids):
        for rank, pid in enumerate(pids):
            if rank in ended:
                continue
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                ended[rank] = (os.waitstatus_to_exitcode(status), time.monotonic())
        time.sleep(0.002)
    found = []
    for rank in range(len(pids)):
        code, at = ended[rank]
        began = folder / f"{rank}.end"
        seconds = at - float(began.read_text()) if began.exists() else DEADLINE
        found.append(
            {
                "code": code,
                "seconds": seconds,
                "stderr": (folder / f"{rank}.stderr").read_text(errors="replace"),
            }
        )
    return found


def main() -> None:
    outcomes = {}
    gc.freeze()  # what the ranks share with this process is no garbage of theirs: they end sooner
    for which in sys.argv[2:]:
        backend, case = which.split(":")
        folder = Path(sys.argv[1], which)
        folder.mkdir()
        pids = []
        for rank in range(2):
            pid = os.fork()
            if pid == 0:
                be_rank(rank, case, backend, folder)
                return  # to the end of the program
            pids.append(pid)
        outcomes[which] = watch(pids, folder)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
