"""What a callback of a collective's future may do: whatever PowerSGD and hooks of users do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Job, Pools

DEADLINE = 10.0  # seconds: a callback that waits in vain shall not cost more


def start(value: float) -> tuple[torch.Tensor, dist.Work]:
    tensor = torch.full((1000,), value)
    work = dist.all_reduce(tensor, async_op=True)
    assert work is not None
    return tensor, work


def new_future() -> float:
    """Starts a collective and waits for its future, as PowerSGD does."""
    _, first = start(1.0)

    def callback(_: object) -> float:
        return float(start(2.0)[1].get_future().wait()[0][-1])

    return first.get_future().then(callback).wait()


def new_work() -> float:
    _, first = start(1.0)

    def callback(_: object) -> float:
        tensor, work = start(2.0)
        work.wait()
        return float(tensor[-1])

    return first.get_future().then(callback).wait()


def earlier_future() -> float:
    """Waits for a collective that was started before, right after the one with the callback."""
    _, first = start(1.0)
    _, second = start(2.0)
    future = second.get_future()
    return first.get_future().then(lambda _: float(future.wait()[0][-1])).wait()


def earlier_work() -> float:
    _, first = start(1.0)
    tensor, second = start(2.0)

    def callback(_: object) -> float:
        second.wait()
        return float(tensor[-1])

    return first.get_future().then(callback).wait()


def chain() -> float:
    """Each callback waits for what the next one, inside it, waits for."""

    def descend(depth: int) -> float:
        tensor, work = start(2.0)
        if depth == 0:
            work.wait()
            return float(tensor[-1])
        return work.get_future().then(lambda _: descend(depth - 1)).wait()

    return descend(5)


def fail_together() -> None:
    """Two collectives fail at once, and the callback of one waits for the other."""
    numel = 1000 + dist.get_rank()
    first = dist.all_reduce(torch.ones(numel), async_op=True)
    second = dist.all_reduce(torch.ones(numel), async_op=True)
    assert first is not None and second is not None
    first.get_future().then(lambda _: second.wait()).wait()


WAYS: list[Callable[[], float]] = [new_future, new_work, earlier_future, earlier_work, chain]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_callback_waits(pools: Pools, layout: str, way: Callable[[], float]) -> None:
    for _ in range(10):
        assert pools.get(layout).run(way, deadline=DEADLINE) == [4.0, 4.0]


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_callback_learns_of_the_failure(launch: Callable[..., Job], layout: str) -> None:
    outcomes = launch(layout).init().outcomes(fail_together, deadline=DEADLINE)
    for outcome in outcomes.values():
        assert outcome.error and "RingMismatchError" in outcome.error.message
