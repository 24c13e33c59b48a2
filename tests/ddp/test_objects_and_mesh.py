"""What torch builds on the collectives: object collectives and device meshes."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from harness import Pools
from torch.distributed.device_mesh import init_device_mesh

LAYOUTS = ("1x2", "1x4", "2x2", "2+1")


def exchange_objects() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    gathered: list[object] = [None] * size
    dist.all_gather_object(gathered, {"rank": rank, "text": "x" * (10 * rank + 1)})
    assert gathered == [{"rank": each, "text": "x" * (10 * each + 1)} for each in range(size)]
    for root in range(size):
        objects: list[object] = [("from", root), {root}, "y" * 5000] if rank == root else [None] * 3
        dist.broadcast_object_list(objects, src=root)
        assert objects == [("from", root), {root}, "y" * 5000]


def reduce_over_a_mesh() -> tuple[float, float]:
    """The sums over this rank's row and column of a 2 x 2 mesh."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("row", "column"))
    sums = []
    for name in ("row", "column"):
        tensor = torch.full((100,), float(dist.get_rank()))
        dist.all_reduce(tensor, group=mesh.get_group(name))
        sums.append(float(tensor[-1]))
    return sums[0], sums[1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_objects(pools: Pools, layout: str) -> None:
    pools.get(layout).run(exchange_objects)


@pytest.mark.parametrize("layout", ["1x4", "2x2"])
def test_device_mesh(pools: Pools, layout: str) -> None:
    assert pools.get(layout).run(reduce_over_a_mesh) == [(2.0, 1.0), (4.0, 1.0), (2.0, 5.0), (4.0, 5.0)]
