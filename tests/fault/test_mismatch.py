"""Ranks that call different things all learn at once who called what."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist

from harness import Job
from support.faults import error_of, reduce_once


def parts() -> list[torch.Tensor]:
    return [torch.ones(12) for _ in range(dist.get_world_size())]


def gather_shares(*first: int) -> None:
    """An all_gather in which the first ranks have so many elements each, and the others none."""
    sizes = [*first, *[0] * (dist.get_world_size() - len(first))]
    dist.all_gather([torch.empty(size) for size in sizes], torch.ones(sizes[dist.get_rank()]))


CALLS: dict[str, Callable[[], object]] = {
    "float32[12]": lambda: dist.all_reduce(torch.ones(12)),
    "float32[10]": lambda: dist.all_reduce(torch.ones(10)),
    "int32[12]": lambda: dist.all_reduce(torch.ones(12, dtype=torch.int32)),
    "maximum": lambda: dist.all_reduce(torch.ones(12), op=dist.ReduceOp.MAX),
    "large": lambda: dist.all_reduce(torch.ones(3_000_000)),
    "larger": lambda: dist.all_reduce(torch.ones(3_000_001)),
    "from root 0": lambda: dist.broadcast(torch.ones(12), src=0),
    "from root 1": lambda: dist.broadcast(torch.ones(12), src=1),
    "gather": lambda: dist.all_gather_into_tensor(torch.ones(12 * dist.get_world_size()), torch.ones(12)),
    "2 and 3": lambda: gather_shares(2, 3),
    "3 and 2": lambda: gather_shares(3, 2),
    "many, then more": lambda: gather_shares(40_000, 60_000),
    "more, then many": lambda: gather_shares(60_000, 40_000),
    "barrier": lambda: dist.barrier(),
    "to root 0": lambda: dist.gather(torch.ones(12), parts() if dist.get_rank() == 0 else None, dst=0),
    "to root 1": lambda: dist.gather(torch.ones(12), parts() if dist.get_rank() == 1 else None, dst=1),
    "exchange": lambda: dist.all_to_all(parts(), parts()),
    "reduce": lambda: dist.reduce(torch.ones(12), dst=0),
}

# What most ranks call, what one of them calls, and how the message tells of each.
MISMATCHES = {
    "count": ("float32[12]", "float32[10]", "all_reduce(float32[12])", "all_reduce(float32[10])"),
    "dtype": ("float32[12]", "int32[12]", "all_reduce(float32[12])", "all_reduce(int32[12])"),
    "op": ("float32[12]", "maximum", "all_reduce(float32[12])", "all_reduce(float32[12], MAX)"),
    "large": ("large", "larger", "all_reduce(float32[3000000])", "all_reduce(float32[3000001])"),
    "kind": ("float32[12]", "gather", "all_reduce(float32[12])", "all_gather(float32[12])"),
    "barrier": ("float32[12]", "barrier", "all_reduce(float32[12])", "barrier()"),
    "shares": (
        "2 and 3",
        "3 and 2",
        "all_gather(float32[5] in shares of different sizes)",
        "all_gather(float32[5] in shares of different sizes)",
    ),
    "large shares": (
        "many, then more",
        "more, then many",
        "all_gather(float32[100000] in shares of different sizes)",
        "all_gather(float32[100000] in shares of different sizes)",
    ),
    "root": (
        "from root 0",
        "from root 1",
        "broadcast(float32[12], root 0)",
        "broadcast(float32[12], root 1)",
    ),
    "exchange": ("exchange", "float32[12]", "all_to_all(float32)", "all_reduce(float32[12])"),
    "reduce": ("reduce", "float32[12]", "reduce(float32[12], root 0)", "all_reduce(float32[12])"),
    "gather": ("to root 0", "to root 1", "gather(float32[12], root 0)", "gather(float32[12], root 1)"),
}


def call(usual: str, odd: str, odd_rank: int) -> None:
    CALLS[odd if dist.get_rank() == odd_rank else usual]()
    if usual in (
        "from root 0",
        "to root 0",
        "reduce",
        "2 and 3",
        "many, then more",
    ):  # some have nothing to wait for, so they may learn from their next call only
        dist.barrier()


@pytest.mark.parametrize("mismatch", MISMATCHES)
@pytest.mark.parametrize("layout", ["1x3", "3x1", "2x2", "2+1"])
def test_everybody_learns_who_called_what(launch: Callable[..., Job], layout: str, mismatch: str) -> None:
    usual, odd, usual_text, odd_text = MISMATCHES[mismatch]
    job = launch(layout).init()
    odd_rank = job.layout.world_size - 1
    outcomes = job.outcomes(call, usual, odd, odd_rank)
    began = max(outcome.started for outcome in outcomes.values())
    for outcome in outcomes.values():
        message = error_of(outcome, "RingMismatchError").message
        assert re.search(rf"\brank {odd_rank} (called )?{re.escape(odd_text)}", message), message
        assert re.search(rf"\brank (?!{odd_rank}\b)\d+ (called )?{re.escape(usual_text)}", message), message
        assert " called " in message and re.search(r"\boperation \d+", message), message
        # Where nothing passes between two that differ, they find out when they have waited for a second.
        assert outcome.finished - began < (2.5 if mismatch in ("exchange", "reduce", "gather") else 1)


def call_from_two_threads(swapped: bool) -> None:
    """What a checkpoint that is saved in the background does, in another order on one rank."""
    with ThreadPoolExecutor(1) as thread:

        def in_the_thread() -> None:
            thread.submit(dist.all_reduce, torch.ones(12)).result()

        dist.barrier()
        in_the_thread()
        calls: list[Callable[[], object]] = [in_the_thread, lambda: dist.all_reduce(torch.ones(10))]
        for each in reversed(calls) if swapped and dist.get_rank() == 0 else calls:
            each()


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_threads_that_share_a_group_are_told_so(launch: Callable[..., Job], layout: str) -> None:
    launch(layout).init().run(call_from_two_threads, False)
    for outcome in launch(layout).init().outcomes(call_from_two_threads, True).values():
        message = error_of(outcome, "RingMismatchError").message
        assert re.search(r"On rank \d several threads share this group.*a group of its own", message), message


def test_one_thread_is_told_nothing_of_threads(launch: Callable[..., Job]) -> None:
    for outcome in launch("1x2").init().outcomes(call, "float32[12]", "float32[10]", 1).values():
        assert "thread" not in error_of(outcome, "RingMismatchError").message


def reduce_twice() -> list[float]:
    """What all_reduce gave, as often as it did before the group failed."""
    sums = []
    try:
        for _ in range(2):
            sums.append(reduce_once())
    except dist.DistBackendError:
        pass
    return sums


def reduce_and_disagree(late: bool) -> str:
    """After an all_reduce rank 0 sends less than rank 1 expects, or nothing in time."""
    reduce_once()
    message = torch.zeros(100 + dist.get_rank())
    try:
        if dist.get_rank() == 1:
            work = dist.irecv(message, src=0)
            assert work is not None
            work.wait()
        elif not late:
            dist.send(message, dst=1)
        reduce_once()
    except dist.DistBackendError as error:
        return type(error).__name__
    return "no error"


@pytest.mark.parametrize("late", [False, True])
def test_a_message_that_fails_leaves_earlier_collectives_alone(
    launch: Callable[..., Job], late: bool
) -> None:
    """Also that of a rank which has all for it, but has not looked yet."""
    job = launch("1x3").init(timeout=2.5)
    job.run(reduce_once)
    slow = job.submit(reduce_twice, ranks={2})
    time.sleep(0.4)
    job.freeze(2)
    types = job.submit(reduce_and_disagree, late, ranks={0, 1}).values()
    assert set(types) == {"RingTimeoutError" if late else "RingMismatchError"}
    job.thaw(2)
    assert slow.values() == [[3.0]]
