"""Ranks that call different things all learn at once who called what."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from harness import Job
from harness.faults import error_of


def parts() -> list[torch.Tensor]:
    return [torch.ones(12) for _ in range(dist.get_world_size())]


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
    "root": (
        "from root 0",
        "from root 1",
        "broadcast(float32[12], root 0)",
        "broadcast(float32[12], root 1)",
    ),
    "exchange": ("exchange", "float32[12]", "all_to_all(float32[0])", "all_reduce(float32[12])"),
    "reduce": ("reduce", "float32[12]", "reduce(float32[12], root 0)", "all_reduce(float32[12])"),
    "gather": ("to root 0", "to root 1", "gather(float32[12], root 0)", "gather(float32[12], root 1)"),
}


def call(usual: str, odd: str, odd_rank: int) -> None:
    CALLS[odd if dist.get_rank() == odd_rank else usual]()
    if usual in (
        "from root 0",
        "to root 0",
        "reduce",
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
