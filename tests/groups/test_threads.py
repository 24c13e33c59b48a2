"""Groups made from many threads at once, and ranks that are threads of one process."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import AllreduceOptions, HashStore, PrefixStore, Store
from torch.distributed.distributed_c10d import _get_default_store

from harness import Job, Pools
from torch_ring._backend import load

TIMEOUT = timedelta(seconds=10)


def form(store: Store, rank: int, size: int) -> Any:
    """A group by itself: torch's names for groups come from a counter, in whose order threads are not."""
    options = load().Options()
    options._timeout = TIMEOUT
    return load().RingBackend(store, rank, size, options)


def sum_in(backend: Any, value: float) -> float:
    tensor = torch.full((1000,), value)
    backend.allreduce([tensor], AllreduceOptions()).wait()
    assert tensor[0] == tensor[-1]
    return float(tensor[0])


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs work(0), work(1), ... at once, and raises what one of them raises."""
    with ThreadPoolExecutor(count) as threads:
        for done in [threads.submit(work, which) for which in range(count)]:
            done.result()


def form_from_threads(threads: int, times: int, own_store: bool) -> int:
    """Each thread makes groups of subsets, one after another; returns how many this rank was in."""
    rank, size = dist.get_rank(), dist.get_world_size()
    store: Any = _get_default_store()
    joined = [0] * threads

    def work(which: int) -> None:
        mine = store.clone() if own_store else store
        draw = random.Random(which)
        for number in range(times):
            members = sorted(draw.sample(range(size), draw.randint(2, size)))
            if rank in members:
                name = f"thread {which}, {threads}, {own_store}, group {number}"
                backend = form(PrefixStore(name, mine), members.index(rank), len(members))
                assert sum_in(backend, float(rank)) == sum(members)
                backend.shutdown()
                joined[which] += 1

    in_threads(threads, work)
    return sum(joined)


def ranks_as_threads(size: int) -> None:
    """As torch.testing's threaded process group: every rank of the group is in this process."""
    store = HashStore()

    def rank(number: int) -> None:
        backend = form(PrefixStore("all", store), number, size)
        half = form(PrefixStore(f"half {number % 2}", store), number // 2, (size + 1 - number % 2) // 2)
        for _ in range(20):
            assert sum_in(backend, float(number)) == sum(range(size))
            assert sum_in(half, float(number)) == sum(range(number % 2, size, 2))
        received = torch.empty(5000)
        send = backend.send([torch.full((5000,), float(number))], (number + 1) % size, 0)
        backend.recv([received], (number - 1) % size, 0).wait()
        send.wait()
        assert received[-1] == (number - 1) % size
        half.shutdown()
        sum_in(backend, 0)  # nobody needs a rank that has left
        backend.shutdown()

    in_threads(size, rank)


def use_from_threads(threads: int, times: int) -> None:
    """A group for each thread, all in use at once, while the main thread makes more groups."""
    rank, size = dist.get_rank(), dist.get_world_size()
    groups = [dist.new_group() for _ in range(threads)]

    def work(which: int) -> None:
        for number in range(times):
            tensor = torch.full((1 + 3000 * (number % 3),), float(rank + which))
            dist.all_reduce(tensor, group=groups[which])
            assert tensor[-1] == sum(range(size)) + size * which

    with ThreadPoolExecutor(threads) as pool:
        at_work = [pool.submit(work, which) for which in range(threads)]
        for _ in range(10):
            group = dist.new_group()
            dist.barrier(group=group)
            dist.destroy_process_group(group)
        for each in at_work:
            each.result()
    for group in groups:
        dist.destroy_process_group(group)


@pytest.mark.parametrize("own_store", [True, False], ids=["own_store", "one_store"])
@pytest.mark.parametrize("layout", ["1x3", "2+1"])
def test_groups_made_from_many_threads(pools: Pools, layout: str, own_store: bool) -> None:
    """Hundreds in all. That all use one connection to the store may not make one wait for another."""
    joined = pools.get(layout).run(form_from_threads, 8, 25, own_store, deadline=60)
    assert min(joined) > 100


@pytest.mark.parametrize("size", [2, 5])
def test_ranks_that_are_threads(launch: Callable[..., Job], size: int) -> None:
    launch("1x1").run(ranks_as_threads, size)


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_groups_used_from_many_threads(pools: Pools, layout: str) -> None:
    pools.get(layout).run(use_from_threads, 6, 100)
