"""DataLoader with worker processes beside a live group: they neither disturb the group nor hang on it."""

from __future__ import annotations

import multiprocessing
import os

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from harness import Pools
from support.training import check_pairs, make_model, over_both, parameters_of

ROWS = 22  # no multiple of ranks, nor of batches
EPOCHS = 2


class Rows(Dataset[tuple[int, int, torch.Tensor]]):
    """A row tells its number, and which process read it."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[int, int, torch.Tensor]:
        return index, os.getpid(), torch.randn(20, generator=torch.Generator().manual_seed(index))


def train(group: dist.ProcessGroup, start_method: str) -> torch.Tensor:
    """The parameters, and the numbers of all rows that this rank saw."""
    rank, size = dist.get_rank(), dist.get_world_size()
    rows = Rows()
    sampler: DistributedSampler[object] = DistributedSampler(rows, size, rank, seed=7)
    loader = DataLoader(
        rows,
        batch_size=4,
        sampler=sampler,
        num_workers=2,
        multiprocessing_context=start_method,
        persistent_workers=True,
    )
    parallel = DistributedDataParallel(make_model(), process_group=group)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    seen: list[int] = []
    readers: set[int] = set()
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for numbers, processes, inputs in loader:
            optimizer.zero_grad()
            parallel(inputs).square().mean().backward()
            optimizer.step()
            seen += numbers.tolist()
            readers |= set(processes.tolist())
    assert len(readers) == 2 and os.getpid() not in readers
    del loader  # which ends its workers
    assert not multiprocessing.active_children()
    everyones: list[list[int]] = [[]] * size
    dist.all_gather_object(everyones, seen, group=group)
    per_epoch = len(seen) // EPOCHS
    for epoch in range(EPOCHS):
        together = [each[epoch * per_epoch : (epoch + 1) * per_epoch] for each in everyones]
        assert {number for part in together for number in part} == set(range(ROWS))
    return torch.cat([parameters_of(parallel), torch.tensor(seen)])


def compare(start_method: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Only rank 0 starts its workers otherwise than by fork, and only over ring: each imports torch anew."""
    return over_both(
        lambda group: train(
            group, start_method if dist.get_rank() == 0 and dist.get_backend(group) != "gloo" else "fork"
        )
    )


@pytest.mark.parametrize(("layout", "start_method"), [("1x2", "fork"), ("2+1", "fork"), ("1x2", "spawn")])
def test_as_over_gloo(pools: Pools, layout: str, start_method: str) -> None:
    check_pairs(pools.get(layout).run(compare, start_method, deadline=60))
