"""send and recv: matched by peer and tag, from anybody, in batches, beside whatever else the group does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Job, Pools
from harness.layout import LAYOUTS
from support.tensors import DTYPES, FORMS, check_equal, hold, values

# Eager, at the limits within and between hosts, requested, and in several frames.
SIZES = (0, 1, 8191, 8192, 8193, 65_535, 65_536, 65_537, 1_000_003)
PAIRS = ("1x2", "1x4", "4x1", "2x2", "2+1")


def round_trips(forms: list[str]) -> None:
    """Each rank sends to the next and receives from the one before, of every dtype, size and form."""
    rank, size = dist.get_rank(), dist.get_world_size()
    following, before = (rank + 1) % size, (rank - 1) % size
    for number, (dtype, numel) in enumerate([(dtype, n) for dtype in DTYPES for n in SIZES[:-1]]):
        form = forms[number % len(forms)]
        mine = hold(values(dtype, numel, seed=number, rank=rank), form)
        expected = values(dtype, numel, seed=number, rank=before)
        output = hold(torch.zeros_like(expected), forms[(number + 1) % len(forms)])
        work = dist.isend(mine.tensor, dst=following, tag=number)
        assert dist.recv(output.tensor, src=before, tag=number) == before
        assert work is not None
        work.wait()
        output.check_gaps()
        check_equal(output.tensor, expected)


def tags_out_of_order() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for numel in SIZES:
        sends = [
            dist.isend(torch.full((numel,), float(rank * 10 + tag)), dst=to, tag=tag)
            for to in range(size)
            if to != rank
            for tag in range(3)
        ]
        for tag in (2, 0, 1):
            for source in reversed(range(size)):
                if source != rank:
                    tensor = torch.empty(numel)
                    dist.recv(tensor, src=source, tag=tag)
                    assert torch.equal(tensor, torch.full((numel,), float(source * 10 + tag)))
        for send in sends:
            assert send is not None
            send.wait()


def anybody() -> None:
    """Rank 0 hears from everybody, in whatever order, and each one's messages in the order of sending."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for numel in SIZES:
        if rank:
            for number in range(5):
                dist.send(torch.full((numel + 1,), float(number)), dst=0)
        else:
            seen = [0] * size
            for _ in range(5 * (size - 1)):
                tensor = torch.empty(numel + 1)
                source = dist.recv(tensor)
                assert tensor[0] == tensor[-1] == seen[source]
                seen[source] += 1
            assert seen == [0] + [5] * (size - 1)
        dist.barrier()  # the next size must not meet a receive of this one


def batches() -> None:
    """As pipelines do it: in one batch to both neighbours and from both."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for numel in SIZES:
        left, right = (rank - 1) % size, (rank + 1) % size
        from_left, from_right = torch.empty(numel), torch.empty(numel)
        mine = torch.full((numel,), float(rank))
        works = dist.batch_isend_irecv(
            [
                dist.P2POp(dist.isend, mine, right, tag=1),
                dist.P2POp(dist.isend, mine, left, tag=2),
                dist.P2POp(dist.irecv, from_left, left, tag=1),
                dist.P2POp(dist.irecv, from_right, right, tag=2),
            ]
        )
        for work in works:
            work.wait()
        assert torch.equal(from_left, torch.full((numel,), float(left)))
        assert torch.equal(from_right, torch.full((numel,), float(right)))


def beside_a_collective(numel: int) -> None:
    """Rank 0 joins the all_reduce only when a message tells it to: the others are inside it by then."""
    rank, size = dist.get_rank(), dist.get_world_size()
    if rank == 0:
        told = torch.zeros(numel)
        dist.recv(told, src=size - 1)
        assert told[-1] == 7
        dist.send(told + 1, dst=size - 1)
    elif rank == size - 1:
        reduced = torch.ones(200_000)
        inside = threading.Thread(target=lambda: dist.all_reduce(reduced))
        inside.start()
        time.sleep(0.1)
        dist.send(torch.full((numel,), 7.0), dst=0)
        back = torch.zeros(numel)
        dist.recv(back, src=0)
        assert back[-1] == 8
        inside.join(timeout=20)
        assert not inside.is_alive() and reduced[-1] == size
        return
    total = torch.ones(200_000)
    dist.all_reduce(total)
    assert total[-1] == size


def receive_late(numel: int) -> None:
    """What was sent arrives, even if its sender has left the group since."""
    if dist.get_rank() == 0:
        dist.send(torch.ones(numel), dst=1, tag=3)
    else:
        late = torch.zeros(numel)
        if numel < 10_000:
            time.sleep(0.3)  # rank 0 has left by now; it waits for larger ones to be received
        dist.recv(late, src=0, tag=3)
        assert late[-1] == 1
    dist.destroy_process_group()


def senseless() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    group = dist.group.WORLD
    assert group is not None
    with pytest.raises(ValueError, match="rank of the group"):
        group.send([torch.ones(1)], size, 0)
    with pytest.raises(ValueError, match="itself"):
        group.recv([torch.ones(1)], rank, 0)
    total = torch.ones(1)
    dist.all_reduce(total)
    assert int(total) == size


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "1x1"])
def test_every_dtype_size_and_memory_layout(pools: Pools, layout: str) -> None:
    pools.get(layout).run(round_trips, list(FORMS))


@pytest.mark.parametrize("layout", PAIRS)
@pytest.mark.parametrize("case", [tags_out_of_order, anybody, batches])
def test_matching(pools: Pools, layout: str, case: object) -> None:
    assert callable(case)
    pools.get(layout).run(case)


@pytest.mark.parametrize("numel", [10, 500_000])
@pytest.mark.parametrize("layout", PAIRS)
def test_messages_pass_a_collective(pools: Pools, layout: str, numel: int) -> None:
    pools.get(layout).run(beside_a_collective, numel)


@pytest.mark.parametrize("numel", [10, 8000, 500_000])
@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_a_message_outlives_its_sender(launch: Callable[..., Job], layout: str, numel: int) -> None:
    launch(layout).init().run(receive_late, numel)


def test_senseless_peers(pools: Pools) -> None:
    pools.get("2+1").run(senseless)
