"""Tensors beyond 2^31 elements and bytes: no count, offset or length is held in 32 bits on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from harness import Pools

NUMEL = 2**31 + 10  # of uint8; a multiple of the ranks, so that it can be cut into one part for each
STRIDE = 4099  # prime: what lands off its place, by a power of 2 or by a page, is seen
DEADLINE = 60.0  # seconds; each call moves gigabytes


def marks(numel: int, factor: int) -> torch.Tensor:
    """What stands at every STRIDE-th element: to write and compare all takes longer than to send them."""
    return (torch.arange(-(-numel // STRIDE)) % 251 * factor).to(torch.uint8)


def fill(tensor: torch.Tensor, factor: int) -> torch.Tensor:
    tensor[::STRIDE] = marks(tensor.numel(), factor)
    return tensor


def check(tensor: torch.Tensor, factor: int) -> None:
    assert torch.equal(tensor[::STRIDE], marks(tensor.numel(), factor))


def collectives() -> None:
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole = torch.zeros(NUMEL, dtype=torch.uint8)
    dist.all_reduce(fill(whole, rank + 1))
    check(whole, 3)
    dist.broadcast(fill(whole, rank + 1), src=1)
    check(whole, 2)
    part = torch.zeros(NUMEL // ranks, dtype=torch.uint8)
    dist.all_gather_into_tensor(whole, fill(part, rank + 1))
    for source, piece in enumerate(whole.chunk(ranks)):
        check(piece, source + 1)
    dist.reduce_scatter_tensor(part, whole)
    check(part, 2 * (rank + 1))


def messages() -> None:
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole = torch.zeros(NUMEL, dtype=torch.uint8)
    if rank == 0:
        dist.send(fill(whole, 5), dst=1)
    else:
        dist.recv(whole, src=0)
        check(whole, 5)
    for to, piece in enumerate(whole.chunk(ranks)):
        fill(piece, 10 * rank + to + 1)
    output = torch.zeros_like(whole)
    dist.all_to_all_single(output, whole)
    for source, piece in enumerate(output.chunk(ranks)):
        check(piece, 10 * source + rank + 1)


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
@pytest.mark.parametrize("call", [collectives, messages])
def test_more_than_2_to_the_31(pools: Pools, layout: str, call: Callable[[], None]) -> None:
    pools.get(layout).run(call, deadline=DEADLINE)
