"""The ways in which torch makes groups: subgroups, device meshes, and by the members alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from harness import Job, Pools

# Rows and columns of a 2 x 2 mesh of the ranks, by rank.
ROWS, COLUMNS = ([0, 1], [0, 1], [2, 3], [2, 3]), ([0, 2], [1, 3], [0, 2], [1, 3])


def members_of(group: dist.ProcessGroup | None) -> list[int]:
    """Found out by a collective, so that it is the backend that says it."""
    gathered = [torch.empty(1, dtype=torch.int64) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, torch.tensor([dist.get_rank()]), group=group)
    return [int(each) for each in gathered]


def subgroups_of_size(size: int) -> list[int]:
    mine, groups = dist.new_subgroups(group_size=size)  # type: ignore[no-untyped-call]
    assert len(groups) == dist.get_world_size() // size
    members = members_of(mine)
    dist.destroy_process_group(mine)
    return members


def subgroups_by_enumeration(lists: list[list[int]]) -> list[int] | None:
    mine, groups = dist.new_subgroups_by_enumeration(lists)  # type: ignore[no-untyped-call]
    assert len(groups) == len(lists)
    if mine is None:
        return None
    members = members_of(mine)
    dist.destroy_process_group(mine)
    return members


def mesh_of_two_dimensions() -> tuple[list[int], list[int], list[int]]:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    rows, columns = mesh.get_group("shard"), mesh.get_group("replicate")
    flat = mesh["replicate", "shard"]._flatten("all").get_group()
    found = members_of(rows), members_of(columns), members_of(flat)
    for group in (rows, columns):
        dist.destroy_process_group(group)
    return found


def mesh_of_three_dimensions() -> list[list[int]]:
    mesh = init_device_mesh("cpu", (2, 1, 3), mesh_dim_names=("dp", "pp", "tp"))
    return [members_of(mesh.get_group(name)) for name in ("dp", "pp", "tp")]


def chain_of_pairs() -> list[list[int]]:
    """Pairs of neighbours, each made by its two members alone: first those from even ranks on.

    In this order, because torch names such a group after its ranks and the number of groups of a member.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    found = []
    for first in [*range(0, size - 1, 2), *range(1, size - 1, 2)]:
        if rank in (first, first + 1):
            group = dist.new_group([first, first + 1], use_local_synchronization=True)
            found.append(members_of(group))
    return found


def halves_by_members_alone() -> list[int]:
    """The halves do not know of each other, and one makes more groups than the other."""
    rank, size = dist.get_rank(), dist.get_world_size()
    half = list(range(size // 2)) if rank < size // 2 else list(range(size // 2, size))
    for _ in range(10 if rank < size // 2 else 20):
        group = dist.new_group(half, use_local_synchronization=True)
        members = members_of(group)
        dist.destroy_process_group(group)
    dist.barrier()
    return members


@pytest.mark.parametrize("layout", ["1x4", "2x2", "4x1"])
def test_subgroups(pools: Pools, layout: str) -> None:
    job = pools.get(layout)
    assert job.run(subgroups_of_size, 2) == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert job.run(subgroups_of_size, 4) == [[0, 1, 2, 3]] * 4
    assert job.run(subgroups_by_enumeration, [[0, 3], [2]]) == [[0, 3], None, [2], [0, 3]]


@pytest.mark.parametrize("layout", ["1x4", "2x2", "4x1"])
def test_a_mesh_of_two_dimensions(pools: Pools, layout: str) -> None:
    rows, columns, flat = zip(*pools.get(layout).run(mesh_of_two_dimensions), strict=True)
    assert rows == ROWS and columns == COLUMNS
    assert flat == ([0, 1, 2, 3],) * 4


def test_a_mesh_of_three_dimensions(pools: Pools) -> None:
    for rank, (dp, pp, tp) in enumerate(pools.get("3x2").run(mesh_of_three_dimensions)):
        assert dp == [rank % 3, rank % 3 + 3]
        assert pp == [rank]
        assert tp == [rank // 3 * 3 + each for each in range(3)]


@pytest.mark.parametrize("layout", ["1x4", "2x2"])
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (chain_of_pairs, [[[0, 1]], [[0, 1], [1, 2]], [[2, 3], [1, 2]], [[2, 3]]]),
        (halves_by_members_alone, [[0, 1], [0, 1], [2, 3], [2, 3]]),
    ],
)
def test_groups_that_their_members_make_alone(
    launch: Callable[..., Job], layout: str, case: Callable[[], object], expected: object
) -> None:
    assert launch(layout).init().run(case) == expected
