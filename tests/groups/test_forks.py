"""What a forked child does with its parent's group is refused, or does nothing, and the group goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Pools


def in_child(body: Callable[[], object]) -> str:
    """The error that `body` raises in a forked child, by type and text; "" for none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        told = b"no end"
        try:
            body()
            told = b""
        except BaseException as error:
            told = f"{type(error).__name__}: {error}".encode()
        finally:
            os.write(writer, told)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return text


def fork_inside(numel: int, what: str) -> tuple[list[float], str]:
    """What an all_reduce gives that is under way while rank 0 forks, and what the child is told."""
    dist.barrier()
    tensor = torch.ones(numel)
    told = ""
    if dist.get_rank() == 0:
        work = dist.all_reduce(tensor, async_op=True)

        def child() -> None:
            tensor.numpy()[:] = 100.0  # its own copy
            calls: dict[str, Callable[[], object]] = {
                "wait": work.wait,
                "all_reduce": lambda: dist.all_reduce(torch.ones(4)),
                "get_future": lambda: work.get_future().wait(),
                "abort": dist.distributed_c10d._abort_process_group,
                "destroy": dist.destroy_process_group,
            }
            calls[what]()

        told = in_child(child)
    else:
        time.sleep(0.3)
        work = dist.all_reduce(tensor, async_op=True)
    work.wait()
    dist.all_reduce(torch.ones(4))
    return sorted(set(tensor.tolist())), told


@pytest.mark.parametrize("what", ["wait", "all_reduce", "get_future", "abort", "destroy"])
@pytest.mark.parametrize("numel", [10, 1_000_000])
@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_a_child_reaches_nothing(pools: Pools, layout: str, numel: int, what: str) -> None:
    outcomes = pools.get(layout).run(fork_inside, numel, what)
    assert [values for values, _ in outcomes] == [[2.0], [2.0]]
    told = outcomes[0][1]
    if what in ("abort", "destroy"):
        assert told == ""
    else:
        assert told.startswith("RingConfigError: ") and "belongs to the parent" in told, told
