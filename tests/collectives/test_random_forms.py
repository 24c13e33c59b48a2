"""Random collectives on random tensors, in random modes of autograd, whoever waits for them.

Each rank chooses for itself how its tensors lie in memory, what autograd knows of them, in which mode it
calls and who completes the call; what comes out is always that of the model, and nothing else has changed.
One process group lives through all cases. test_forms.py has the forms and modes one by one.

RING_TEST_SEED and RING_TEST_CASES choose other cases, as in tests/cpp/calls.h.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import torch
import torch.distributed as dist

from collectives.random_case import Case
from harness import Pools

FIRST_SEED = int(os.environ.get("RING_TEST_SEED", "0"))
CASES = int(os.environ.get("RING_TEST_CASES", "250"))

Mode = Callable[[], AbstractContextManager[Any]]
MODES: tuple[Mode, ...] = (torch.enable_grad, torch.no_grad, torch.inference_mode)


def all_reduce(case: Case, is_async: bool) -> Any:
    return dist.all_reduce(case.writes(case.reduced(), case.content(case.rank)), case.op, async_op=is_async)


def all_reduce_coalesced(case: Case, is_async: bool) -> Any:
    shapes = [tuple(case.shared.sample(case.shape, len(case.shape))) for _ in range(3)]
    tensors = [
        case.writes(case.reduced(part, shape), case.content(case.rank, part, shape))
        for part, shape in enumerate(shapes)
    ]
    return dist.all_reduce_coalesced(tensors, case.op, async_op=is_async)


def reduce(case: Case, is_async: bool) -> Any:
    mine = case.content(case.rank)
    tensor = case.writes(case.reduced(), mine) if case.rank == case.root else case.reads(mine)
    return dist.reduce(tensor, case.root, case.op, async_op=is_async)


def broadcast(case: Case, is_async: bool) -> Any:
    sent = case.content(case.root)
    tensor = case.reads(sent) if case.rank == case.root else case.writes(sent)
    return dist.broadcast(tensor, case.root, async_op=is_async)


def uneven(case: Case) -> list[tuple[int, ...]]:
    """A shape for each rank's share."""
    if not case.shape or case.shared.random() < 0.5:
        return [case.shape] * case.size
    return [(case.shared.randrange(4) * case.shape[0], *case.shape[1:]) for _ in range(case.size)]


def all_gather(case: Case, is_async: bool) -> Any:
    shares = [case.content(rank, 0, shape) for rank, shape in enumerate(uneven(case))]
    outputs = [case.writes(share) for share in shares]
    return dist.all_gather(outputs, case.reads(shares[case.rank]), async_op=is_async)


def all_gather_into(case: Case, is_async: bool) -> Any:
    whole = torch.stack(case.all_of())
    if case.shape and case.own.random() < 0.5:
        whole = whole.flatten(0, 1)
    return dist.all_gather_into_tensor(
        case.writes(whole), case.reads(case.content(case.rank)), async_op=is_async
    )


def reduce_scatter(case: Case, is_async: bool) -> Any:
    shapes = uneven(case)
    output = case.writes(case.reduced(case.rank, shapes[case.rank]))
    inputs = [case.reads(case.content(case.rank, part, shape)) for part, shape in enumerate(shapes)]
    return dist.reduce_scatter(output, inputs, case.op, async_op=is_async)


def reduce_scatter_tensor(case: Case, is_async: bool) -> Any:
    whole = torch.stack([case.content(case.rank, part) for part in range(case.size)])
    if case.shape and case.own.random() < 0.5:
        whole = whole.flatten(0, 1)
    output = case.writes(case.reduced(case.rank))
    return dist.reduce_scatter_tensor(output, case.reads(whole), case.op, async_op=is_async)


def gather(case: Case, is_async: bool) -> Any:
    outputs = [case.writes(each) for each in case.all_of()] if case.rank == case.root else None
    return dist.gather(case.reads(case.content(case.rank)), outputs, case.root, async_op=is_async)


def scatter(case: Case, is_async: bool) -> Any:
    inputs = None
    if case.rank == case.root:
        inputs = [case.reads(case.content(case.root, part)) for part in range(case.size)]
    output = case.writes(case.content(case.root, case.rank))
    return dist.scatter(output, inputs, case.root, async_op=is_async)


def all_to_all(case: Case, is_async: bool) -> Any:
    outputs = [case.writes(each) for each in case.all_of(case.rank)]
    inputs = [case.reads(case.content(case.rank, part)) for part in range(case.size)]
    return dist.all_to_all(outputs, inputs, async_op=is_async)


def all_to_all_single(case: Case, is_async: bool) -> Any:
    """With as many rows for each pair of ranks as they have drawn."""
    size, columns = case.size, tuple(case.shape[1:])
    rows = [[case.shared.randrange(4) for _ in range(size)] for _ in range(size)]
    if case.shared.random() < 0.5:
        rows = [[2] * size for _ in range(size)]

    def from_to(one: int, other: int) -> torch.Tensor:
        return case.content(one, other, (rows[one][other], *columns))

    inputs = torch.cat([from_to(case.rank, other) for other in range(size)])
    outputs = torch.cat([from_to(other, case.rank) for other in range(size)])
    received, sent = case.writes(outputs, rows=True), case.reads(inputs, rows=True)
    takes, gives = [row[case.rank] for row in rows], rows[case.rank]
    return dist.all_to_all_single(received, sent, takes, gives, async_op=is_async)


def messages(case: Case, is_async: bool) -> Any:
    """Each to the next one."""
    after, before = (case.rank + 1) % case.size, (case.rank - 1) % case.size
    sent, received = case.reads(case.content(case.rank)), case.writes(case.content(before))
    if is_async:
        works = [dist.isend(sent, after, tag=case.salt), dist.irecv(received, before, tag=case.salt)]
        return Several(works)
    if case.own.random() < 0.5:
        work = dist.irecv(received, before, tag=case.salt)
        dist.send(sent, after, tag=case.salt)
        assert work is not None
        work.wait()
    else:
        work = dist.isend(sent, after, tag=case.salt)
        dist.recv(received, before, tag=case.salt)
        assert work is not None
        work.wait()
    return None


@dataclass
class Several:
    works: list[Any]

    def wait(self) -> None:
        for work in self.works:
            work.wait()


CALLS = (
    all_reduce,
    all_reduce_coalesced,
    reduce,
    broadcast,
    all_gather,
    all_gather_into,
    reduce_scatter,
    reduce_scatter_tensor,
    gather,
    scatter,
    all_to_all,
    all_to_all_single,
    messages,
)


def wait_in(mode: Mode, work: Any) -> None:
    with mode():
        work.wait()


def play(seed: int, others: ThreadPoolExecutor) -> None:
    """Some calls, of which several may be under way at once; they are waited for in any order."""
    rank, size = dist.get_rank(), dist.get_world_size()
    shared, own = Random(seed), Random(f"{seed} on {rank}")
    under_way: list[tuple[Any, str, Case]] = []
    what = ""
    try:
        for number in range(shared.randrange(1, 5)):
            call = shared.choice(CALLS)
            case = Case(Random(f"{seed}, {number}"), own, rank, size)
            case.salt = case.salt * 4 + number  # no two messages under way have the same tag
            mode, is_async = own.choice(MODES), own.random() < 0.7
            what = f"call {number}, {call.__name__} of {case.dtype}{list(case.shape)} in {mode.__name__}"
            with mode():
                work = call(case, is_async)
            under_way.append((work, what, case))
        own.shuffle(under_way)
        for work, what, case in under_way:  # noqa: B007
            if work is not None:
                mode = own.choice(MODES)
                if own.random() < 0.5:
                    others.submit(wait_in, mode, work).result()
                else:
                    wait_in(mode, work)
            for held in case.held:
                held.check(marked=any(each.traits[0] for each in case.held))
    except Exception as error:
        again = f"again with RING_TEST_SEED={seed} RING_TEST_CASES=1"
        raise AssertionError(f"{what} on rank {rank}: {error!r}; {again}") from error


def play_all(first: int, cases: int) -> None:
    with ThreadPoolExecutor(1) as others:
        for seed in range(first, first + cases):
            play(seed, others)


@pytest.mark.parametrize("layout", ["1x2", "1x3", "2+1"])
def test_random_forms_in_random_modes(pools: Pools, layout: str) -> None:
    pools.get(layout).run(play_all, FIRST_SEED, CASES, deadline=30 + CASES / 4)
