"""A group that cannot form because of one rank: every rank says so at once, in that rank's words."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

import torch_ring._build
from harness import BACKEND, Job, Lab, init_group
from harness.worker import destroy_group
from support.faults import check_all_raise, error_of, names_ranks, reduce_once

LONG = 120.0  # nobody waits for so long
SOON = 5.0


def make_group(
    ranks: list[int] | None, timeout: float = LONG, options: object = None, local: bool = False
) -> None:
    group = dist.new_group(
        ranks,
        timeout=timedelta(seconds=timeout),
        pg_options=options,
        use_local_synchronization=local,
    )
    if group is not dist.GroupMember.NON_GROUP_MEMBER:
        total = torch.tensor([10.0 ** dist.get_rank()])
        dist.all_reduce(total, group=group)
        members = range(dist.get_world_size()) if ranks is None else ranks
        assert total.item() == sum(10.0**rank for rank in members)


def make_own_pair(pairs: list[list[int]]) -> None:
    """As people do who forget that all ranks must make all groups."""
    make_group(next(pair for pair in pairs if dist.get_rank() in pair), timeout=20)


def make_in_order(orders: dict[int, list[list[int]]]) -> None:
    for ranks in orders[dist.get_rank()]:
        make_group(ranks, timeout=20)


def make_late(rank: int, seconds: float, ranks: list[int]) -> None:
    time.sleep(seconds if dist.get_rank() == rank else 0.0)
    make_group(ranks, local=True)


def make_with_bad_options(bad: int) -> None:
    make_group(None, options="no options" if dist.get_rank() == bad else None, local=True)


def try_again_and_again(first: float, late: int, late_by: float) -> tuple[int, float]:
    """Which attempt made a group, and what it summed."""
    rank = int(os.environ["RANK"])
    if rank == late:
        time.sleep(late_by)
    for attempt in range(4):
        try:
            init_group(20.0 if attempt or rank == late else first)
            return attempt, reduce_once()
        except dist.DistBackendError:
            destroy_group()
    raise AssertionError("no attempt made a group")


def wait_for_card_of(rank: int) -> None:
    """Until that rank has told the others of itself."""
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    deadline = time.monotonic() + 20
    while not any(key.endswith(f"/card/{rank}") for key in store.list_keys()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("layout", "variable", "value"),
    [
        ("2+1", "TORCH_RING_IFNAME", "nope"),
        ("3x1", "TORCH_RING_IFNAME", "nope"),
        ("1x3", "TORCH_RING_STREAMS", "99"),
        ("2+1", "TORCH_RING_STREAMS", "99"),
        ("1x3", "TORCH_RING_CHUNK_BYTES", "65536"),
        ("2+1", "TORCH_RING_SIZE_TABLE", "nonsense"),
        ("3x1", "TORCH_RING_SECRET", "battery staple"),
    ],
)
def test_all_hear_why_one_cannot_start(
    launch: Callable[..., Job], layout: str, variable: str, value: str
) -> None:
    job = launch(layout, rank_env={2: {variable: value}})
    outcomes = job.outcomes(init_group, LONG, deadline=30)
    for rank, outcome in outcomes.items():
        message = error_of(outcome, "DistBackendError").message
        assert variable in message, message
        assert rank == 2 or names_ranks(message, {2}), message
        assert outcome.seconds < SOON


def init_without_module(missing: bool) -> None:
    """As where the module was not built, or for another torch."""
    if missing:
        sys.modules["torch_ring._C"] = None  # type: ignore[assignment]  # Python's way to say so
    else:
        torch_ring._build.TORCH_VERSION = "1.0.0"
    init_group(LONG)


@pytest.mark.parametrize(("layout", "bad"), [("1x3", 0), ("2+1", 2)])
@pytest.mark.parametrize("missing", [True, False])
def test_all_hear_of_one_that_cannot_load_the_module(
    launch: Callable[..., Job], layout: str, bad: int, missing: bool
) -> None:
    job = launch(layout)
    others = job.submit(init_group, LONG, ranks={0, 1, 2} - {bad})
    own = job.submit(init_without_module, missing, ranks={bad}).wait(30)[bad]
    why = "cannot be loaded" if missing else "was built for torch 1.0.0"
    assert own.error is not None and own.error.is_a("ImportError") and why in own.error.message
    for outcome in others.wait(30).values():
        message = error_of(outcome, "DistBackendError").message
        assert why in message and names_ranks(message, {bad}), message
        assert outcome.seconds < SOON


def init_without_memory(short: bool) -> None:
    if short:  # of what it may map: enough for all but the memory that it shares with its host
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + (12 << 20),) * 2)
    init_group(LONG)


@pytest.mark.parametrize(("layout", "bad"), [("1x3", 0), ("1x3", 1), ("2+1", 1)])
def test_all_hear_of_one_that_cannot_map_the_memory_of_its_host(
    launch: Callable[..., Job], layout: str, bad: int
) -> None:
    job = launch(layout)
    others = job.submit(init_without_memory, False, ranks={0, 1, 2} - {bad})
    own = job.submit(init_without_memory, True, ranks={bad}).wait(30)[bad]
    assert "mmap" in error_of(own, "DistBackendError").message
    for rank, outcome in others.wait(30).items():
        if not outcome.error and job.layout.host_of(rank) != job.layout.host_of(bad):
            # It may have formed it with the other rank of that host, which tells it then.
            outcome = job.submit(reduce_once, ranks={rank}).wait(30)[rank]
        message = error_of(outcome, "RingPeerError").message
        assert "mmap" in message and names_ranks(message, {bad}), message
        assert outcome.seconds < SOON


def init_until(seconds: float) -> None:
    def ring(*_: object) -> None:
        raise RuntimeError("the alarm rings")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        init_group(LONG)
    finally:
        signal.signal(signal.SIGALRM, before)


def init_and_reduce() -> None:
    init_group(LONG)
    reduce_once()


def test_all_hear_of_one_that_gives_up_while_it_waits_for_its_host(launch: Callable[..., Job]) -> None:
    job = launch("1x4")
    others = job.submit(init_and_reduce, ranks={0, 2, 3})
    job.submit(wait_for_card_of, 3, ranks={1}).values()
    job.freeze(3)
    own = job.submit(init_until, 1.5, ranks={1}).wait(20)[1]
    job.processes[3].signal(signal.SIGCONT)
    assert own.error is not None and "the alarm rings" in own.error.message
    outcomes = others.wait(20)
    check_all_raise(job, outcomes, {0, 2, 3}, "RingPeerError", {1})
    for outcome in outcomes.values():
        message = error_of(outcome, "RingPeerError").message
        assert "the alarm rings" in message, message


@pytest.mark.parametrize("layout", ["1x4", "2x2"])
def test_a_rank_that_dies_while_others_are_waited_for(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout)
    early = job.submit(init_group, LONG, ranks={0, 2, 3})
    job.submit(wait_for_card_of, 3, ranks={1}).values()
    job.kill(3)
    late = job.submit(init_group, LONG, ranks={1})
    outcomes = {rank: outcome for rank, outcome in early.wait(20).items() if rank != 3} | late.wait(20)
    check_all_raise(job, outcomes, {0, 1, 2}, "RingPeerError", {3})


@pytest.mark.parametrize("layout", ["1x3", "2+1", "3x1"])
def test_a_new_group_with_a_dead_member(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init(timeout=10)
    job.run(reduce_once)
    job.kill(2)
    outcomes = job.outcomes(make_group, None, deadline=20)
    check_all_raise(job, outcomes, {0, 1}, "RingPeerError", {2})
    assert all(outcome.seconds < SOON for outcome in outcomes.values())


@pytest.mark.parametrize("layout", ["1x3", "2+1"])
def test_a_new_group_that_one_member_is_refused(launch: Callable[..., Job], layout: str) -> None:
    job = launch(layout).init()
    outcomes = job.outcomes(make_with_bad_options, 1, deadline=20)
    for rank, outcome in outcomes.items():
        assert outcome.error is not None
        assert outcome.error.is_a("TypeError" if rank == 1 else "RingPeerError")
        assert "pg_options must be a torch_ring.Options" in outcome.error.message
        assert rank == 1 or names_ranks(outcome.error.message, {1})
        assert outcome.seconds < SOON
    assert job.run(reduce_once) == [3.0] * 3, "the group of all ranks goes on"


@pytest.mark.parametrize("layout", ["1x3", "2+1", "3x1"])
def test_attempts_without_some_do_not_spoil_those_with_all(launch: Callable[..., Job], layout: str) -> None:
    found = launch(layout).run(try_again_and_again, 1.0, 2, 1.5, deadline=60)
    assert [total for _, total in found] == [3.0] * 3
    assert found[2][0] == 0, "the late rank's first attempt is the others' second"


@pytest.mark.parametrize("layout", ["1x4", "2x2"])
def test_groups_that_are_made_side_by_side(launch: Callable[..., Job], layout: str) -> None:
    """torch gives both the same name, so that their ranks meet."""
    pairs = [[0, 1], [2, 3]]
    job = launch(layout).init()
    job.run(reduce_once)
    outcomes = job.outcomes(make_own_pair, pairs, deadline=40)
    # A pair that was ready before the other one came is right, and works.
    worked = [[outcomes[rank].error is None for rank in pair] for pair in pairs]
    assert worked in ([[False] * 2] * 2, [[True] * 2, [False] * 2], [[False] * 2, [True] * 2]), worked
    for outcome in outcomes.values():
        assert outcome.seconds < SOON
        if outcome.error:
            message = error_of(outcome, "RingConfigError").message
            assert "[0, 1] and [2, 3]" in message, message
            assert "use_local_synchronization=True" in message


@pytest.mark.parametrize("layout", ["1x4", "2x2"])
def test_groups_that_are_made_in_crossed_order(launch: Callable[..., Job], layout: str) -> None:
    """The last rank is in the second group only: it waits for ranks that do not come as far."""
    first, second = [0, 1, 2], [1, 2, 3]
    orders = {rank: [first, second] for rank in range(4)} | {2: [second, first]}
    job = launch(layout).init()
    outcomes = job.outcomes(make_in_order, orders, deadline=40)
    for rank, outcome in outcomes.items():
        message = error_of(outcome, "RingConfigError").message
        assert "[0, 1, 2] and [1, 2, 3]" in message, message
        assert rank != 3 or "rank 1 does not come" in message, message
        assert outcome.seconds < SOON + 3 * (rank == 3), "those that are waited for may still come"
    # Who goes on is not taken for one that does not.
    job.run(make_group, [0, 1, 2, 3], local=True)
    job.run(make_late, 2, 4.0, second, ranks=second)


def test_two_hosts_under_one_name(namespaces: None, launch: Callable[..., Job]) -> None:
    """As by one file of settings for all hosts."""
    with Lab(2, "one-name") as lab, Job(lab, "2x2", env={"TORCH_RING_HOST_ID": "node"}) as job:
        outcomes = job.outcomes(init_group, LONG, BACKEND, deadline=30)
        for outcome in outcomes.values():
            message = error_of(outcome, "RingConfigError").message
            assert "TORCH_RING_HOST_ID=node" in message
            assert names_ranks(message, {0, 2}), message
            assert outcome.seconds < SOON
