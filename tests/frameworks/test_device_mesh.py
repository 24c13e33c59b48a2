"""Device meshes: the groups of their dimensions, cut out and joined together."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from harness import Pools


def sum_of_ranks(group: dist.ProcessGroup) -> float:
    tensor = torch.full((100,), float(dist.get_rank()))
    dist.all_reduce(tensor, group=group)
    return float(tensor[-1])


def reduce_over_a_mesh() -> tuple[float, float, float]:
    """The sums over this rank's row and column of a 2 x 2 mesh, and over both of them made one."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("row", "column"))
    assert {dist.get_backend(mesh.get_group(name)) for name in ("row", "column")} == {dist.get_backend()}
    both = mesh._flatten("both")
    return (
        sum_of_ranks(mesh.get_group("row")),
        sum_of_ranks(mesh["column"].get_group()),
        sum_of_ranks(both.get_group()),
    )


def make_of_groups() -> tuple[float, float]:
    """A mesh of groups that are there already."""
    rows = [dist.new_group(ranks) for ranks in ([0, 2], [1, 3])]
    columns = [dist.new_group(ranks) for ranks in ([0, 1], [2, 3])]
    own = [rows[dist.get_rank() % 2], columns[dist.get_rank() // 2]]
    mesh = DeviceMesh.from_group(own, "cpu", torch.arange(4).reshape(2, 2), mesh_dim_names=("row", "column"))
    sums = sum_of_ranks(mesh.get_group("row")), sum_of_ranks(mesh.get_group("column"))
    for group in own:
        dist.destroy_process_group(group)
    return sums


@pytest.mark.parametrize("layout", ["1x4", "2x2"])
def test_dimensions(pools: Pools, layout: str) -> None:
    sums = [(2.0, 1.0, 6.0), (4.0, 1.0, 6.0), (2.0, 5.0, 6.0), (4.0, 5.0, 6.0)]
    assert pools.get(layout).run(reduce_over_a_mesh) == sums


@pytest.mark.parametrize("layout", ["2x2"])
def test_of_groups(pools: Pools, layout: str) -> None:
    assert pools.get(layout).run(make_of_groups) == [(2.0, 1.0), (4.0, 1.0), (2.0, 5.0), (4.0, 5.0)]
