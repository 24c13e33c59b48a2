"""The collectives of Python objects, which torch makes of tensors' collectives and of messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist

from harness import Pools

LAYOUTS = ("1x2", "1x4", "2x2", "2+1")


def thing(rank: int) -> dict[str, Any]:
    """Of a size that differs by rank, and of several types."""
    return {"rank": rank, "text": "x" * (10 * rank + 1), "tensor": torch.arange(rank), "set": {rank}}


def same(left: Any, right: Any) -> bool:
    return bool(torch.equal(left.pop("tensor"), right.pop("tensor")) and left == right)


def all_gather() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    gathered: list[Any] = [None] * size
    dist.all_gather_object(gathered, thing(rank))
    assert all(same(each, thing(other)) for other, each in enumerate(gathered))


def gather() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for root in range(size):
        gathered: list[Any] | None = [None] * size if rank == root else None
        dist.gather_object(thing(rank), gathered, dst=root)
        if gathered is not None:
            assert all(same(each, thing(other)) for other, each in enumerate(gathered))


def broadcast() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for root in range(size):
        objects: list[Any] = [("from", root), thing(root), "y" * 5000] if rank == root else [None] * 3
        dist.broadcast_object_list(objects, src=root)
        assert objects[0] == ("from", root) and objects[2] == "y" * 5000
        assert same(objects[1], thing(root))


def scatter() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for root in range(size):
        output: list[Any] = [None]
        inputs = [thing(other + root) for other in range(size)] if rank == root else None
        dist.scatter_object_list(output, inputs, src=root)
        assert same(output[0], thing(rank + root))


def send_and_recv() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    before, after = (rank - 1) % size, (rank + 1) % size
    received: list[Any] = [None, None]
    if rank == 0:
        dist.send_object_list([thing(rank), "second"], dst=after)
    assert dist.recv_object_list(received, src=before) == before
    if rank != 0:
        dist.send_object_list([thing(rank), "second"], dst=after)
    assert received[1] == "second" and same(received[0], thing(before))


def in_a_subgroup() -> None:
    """Ranks of the subgroup are numbered otherwise than those of the job."""
    size = dist.get_world_size()
    members = [size - 1, 0]
    group = dist.new_group(members)
    if dist.get_rank() not in members:
        return
    gathered: list[Any] = [None] * 2
    dist.all_gather_object(gathered, dist.get_rank(), group=group)
    assert gathered == sorted(members)
    objects: list[Any] = ["of the last" if dist.get_rank() == size - 1 else None]
    dist.broadcast_object_list(objects, group_src=1, group=group)
    assert objects == ["of the last"]
    dist.destroy_process_group(group)


FORMS: list[Callable[[], None]] = [all_gather, gather, broadcast, scatter, send_and_recv, in_a_subgroup]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_objects(pools: Pools, layout: str, form: Callable[[], None]) -> None:
    pools.get(layout).run(form)
