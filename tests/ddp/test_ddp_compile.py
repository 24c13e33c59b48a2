"""DDP models under torch.compile: their graph, cut at the buckets, trains as over gloo, and as uncompiled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch._dynamo.backends.debugging import aot_eager
from torch.nn.parallel import DistributedDataParallel

from harness import Pools
from support.training import batches, check_pairs, over_both, parameters_of


class Model(nn.Module):
    """In three buckets, where each holds at least a megabyte: torch.compile refuses smaller ones."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(20, 600), nn.Linear(600, 600), nn.Linear(600, 600)])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            inputs = layer(inputs).tanh()
        return inputs


def train(group: dist.ProcessGroup, compiled: bool) -> torch.Tensor:
    pieces: list[object] = []

    def backend(graph: Any, examples: Any) -> Any:
        """Not inductor, whose compiler for C++ takes long and is not what matters here."""
        pieces.append(graph)
        return aot_eager(graph, examples)

    torch._dynamo.reset()
    parallel = DistributedDataParallel(Model(), process_group=group, bucket_cap_mb=1)
    run: Any = torch.compile(parallel, backend=backend) if compiled else parallel
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for inputs in batches():
        optimizer.zero_grad()
        run(inputs).square().mean().backward()
        optimizer.step()
    assert len(pieces) > 1 or not compiled, "the graph was not cut"
    return parameters_of(parallel)


def compare() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ours, theirs = over_both(lambda group: train(group, compiled=True))
    assert dist.group.WORLD is not None
    return ours, theirs, train(dist.group.WORLD, compiled=False)


@pytest.mark.parametrize("layout", ["1x2"])
def test_as_over_gloo(pools: Pools, layout: str) -> None:
    results = pools.get(layout).run(compare, deadline=90)
    check_pairs([(ours, theirs) for ours, theirs, _ in results])
    for ours, _, uncompiled in results:
        torch.testing.assert_close(ours, uncompiled)
