"""Timeouts of a group, of one operation and of one wait, and the numbers that operations have."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import (
    AllgatherOptions,
    AllreduceOptions,
    AllToAllOptions,
    BarrierOptions,
    BroadcastOptions,
    GatherOptions,
    ReduceOptions,
    ReduceScatterOptions,
    ScatterOptions,
)

from harness import Pools

LAYOUTS = ("1x2", "2+1")
SHORT = 0.4  # seconds
LATE = 1.5  # how much later than that an error may come, on a busy machine

Call = Callable[[Any, Any], Any]  # starts an operation on the group, with the timeout in its options


def with_timeout(options: Any, timeout: timedelta | None) -> Any:
    if timeout is not None:
        options.timeout = timeout
    return options


def all_reduce(group: Any, timeout: timedelta | None) -> Any:
    return group.allreduce([torch.ones(10)], with_timeout(AllreduceOptions(), timeout))


def all_reduce_large(group: Any, timeout: timedelta | None) -> Any:
    return group.allreduce([torch.ones(1_000_000)], with_timeout(AllreduceOptions(), timeout))


def barrier(group: Any, timeout: timedelta | None) -> Any:
    return group.barrier(with_timeout(BarrierOptions(), timeout))


def broadcast(group: Any, timeout: timedelta | None) -> Any:
    options = with_timeout(BroadcastOptions(), timeout)
    options.rootRank = group.size() - 1
    return group.broadcast([torch.ones(10)], options)


def reduce(group: Any, timeout: timedelta | None) -> Any:
    return group.reduce([torch.ones(10)], with_timeout(ReduceOptions(), timeout))


def all_gather(group: Any, timeout: timedelta | None) -> Any:
    output = [[torch.ones(10) for _ in range(group.size())]]
    return group.allgather(output, [torch.ones(10)], with_timeout(AllgatherOptions(), timeout))


def reduce_scatter(group: Any, timeout: timedelta | None) -> Any:
    inputs = [[torch.ones(10) for _ in range(group.size())]]
    return group.reduce_scatter([torch.ones(10)], inputs, with_timeout(ReduceScatterOptions(), timeout))


def gather(group: Any, timeout: timedelta | None) -> Any:
    outputs = [[torch.ones(10) for _ in range(group.size())]] if group.rank() == 0 else []
    return group.gather(outputs, [torch.ones(10)], with_timeout(GatherOptions(), timeout))


def scatter(group: Any, timeout: timedelta | None) -> Any:
    options = with_timeout(ScatterOptions(), timeout)
    options.rootRank = group.size() - 1
    inputs = [[torch.ones(10)] * group.size()] if group.rank() == options.rootRank else []
    return group.scatter([torch.ones(10)], inputs, options)


def all_to_all(group: Any, timeout: timedelta | None) -> Any:
    options = with_timeout(AllToAllOptions(), timeout)
    return group.alltoall_base(torch.ones(group.size()), torch.ones(group.size()), [], [], options)


CALLS = (
    *(all_reduce, all_reduce_large, barrier, broadcast, reduce, all_gather),
    *(reduce_scatter, gather, scatter, all_to_all),
)


def time_out(calls: list[Call], of_group: bool) -> dict[str, float]:
    """Rank 0 calls, the others do not, each in a group of its own; all timeouts run at once. Seconds by call.

    The timeout is the operation's, or it is set for the group after it was made.
    """
    groups: list[Any] = [dist.new_group() for _ in calls]
    seconds = {}
    if dist.get_rank() == 0:
        started = time.monotonic()
        works = []
        for call, group in zip(calls, groups, strict=True):
            if of_group:
                group.set_timeout(timedelta(seconds=SHORT))
            works.append(call(group, None if of_group else timedelta(seconds=SHORT)))
        for call, work in zip(calls, works, strict=True):
            with pytest.raises(dist.DistBackendError, match="rank"):
                work.wait()
            seconds[call.__name__] = time.monotonic() - started
    dist.barrier()
    for group in groups:
        dist.destroy_process_group(group)
    return seconds


def message_times_out() -> float:
    """Messages have no options: their timeout is the group's."""
    group: Any = dist.new_group()
    group.set_timeout(timedelta(seconds=SHORT))
    started = time.monotonic()
    if dist.get_rank() == 0:
        with pytest.raises(dist.DistBackendError, match="rank 1"):
            group.recv([torch.ones(10)], 1, 0).wait()
    waited = time.monotonic() - started
    dist.barrier()
    dist.destroy_process_group(group)
    return waited


def longer_than_the_group() -> None:
    """An operation that may take longer than the group's timeout does, and others of the group as ever."""
    group: Any = dist.new_group(timeout=timedelta(seconds=SHORT))
    if dist.get_rank() == 1:
        time.sleep(1.5 * SHORT)
    tensor = torch.ones(10)
    group.allreduce([tensor], with_timeout(AllreduceOptions(), timedelta(seconds=20))).wait()
    assert tensor[-1] == group.size()
    dist.barrier()
    group.set_timeout(timedelta(seconds=20))
    if dist.get_rank() == 0:
        time.sleep(1.5 * SHORT)
    dist.barrier(group=group)
    dist.destroy_process_group(group)


def wait_in_vain() -> None:
    """A wait that ends early does not end the operation."""
    group: Any = dist.new_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    tensor = torch.ones(10)
    if rank == 0:
        work = all_reduce_of(tensor, group)
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(dist.DistBackendError, match="in vain"):
                work.wait(timedelta(seconds=0.1))
            assert 0.1 <= time.monotonic() - started < 0.1 + LATE
            assert not work.is_completed()
        dist.barrier()
        work.wait()
    else:
        dist.barrier()
        all_reduce_of(tensor, group).wait()
    assert tensor[-1] == size
    dist.destroy_process_group(group)


def all_reduce_of(tensor: torch.Tensor, group: dist.ProcessGroup) -> Any:
    return dist.all_reduce(tensor, group=group, async_op=True)


def number_of(group: Any) -> int:
    """torch asks its own backends only; the wrapper of TORCH_DISTRIBUTED_DEBUG=DETAIL asks as this does."""
    return int(group._get_backend(torch.device("cpu"))._get_sequence_number_for_group())


def count_operations() -> list[int]:
    """The number after each of some calls: on every rank the same, and each group's own."""
    first, second = dist.new_group(), dist.new_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    numbers = [number_of(first)]
    for call in CALLS:
        call(first, None).wait()
        numbers.append(number_of(first))
    if rank == 0:
        dist.send(torch.ones(1), dst=1, group=first)  # only some ranks do, and stay in step with the others
    elif rank == 1:
        dist.recv(torch.ones(1), src=0, group=first)
    numbers.append(number_of(first))
    assert number_of(second) == 0
    dist.all_reduce(torch.ones(size), group=second)
    assert (number_of(second), number_of(first)) == (1, numbers[-1])
    dist.destroy_process_group(first)
    dist.destroy_process_group(second)
    return numbers


@pytest.mark.parametrize("of_group", [False, True], ids=["of_operation", "of_group"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_timeout_of_its_own(pools: Pools, layout: str, of_group: bool) -> None:
    seconds, *others = pools.get(layout).run(time_out, list(CALLS), of_group)
    assert others == [{}] * len(others)
    assert list(seconds) == [call.__name__ for call in CALLS]
    for name, waited in seconds.items():
        assert 0.9 * SHORT < waited < SHORT + LATE, name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_messages_timeout_is_the_groups(pools: Pools, layout: str) -> None:
    waited = pools.get(layout).run(message_times_out)
    assert 0.9 * SHORT < waited[0] < SHORT + LATE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_operation_may_have_longer(pools: Pools, layout: str) -> None:
    pools.get(layout).run(longer_than_the_group)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wait_may_end_before_the_operation(pools: Pools, layout: str) -> None:
    pools.get(layout).run(wait_in_vain)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_operations_are_numbered(pools: Pools, layout: str) -> None:
    for numbers in pools.get(layout).run(count_operations):
        assert numbers == [*range(len(CALLS) + 1), len(CALLS)]
