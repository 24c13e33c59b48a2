"""DistributedDataParallel over ring trains as it does over gloo.

Without `from __future__ import annotations`: DDP looks at the types that a hook is annotated with.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from harness import Pools


def average_with_a_future(_: object, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    """A communication hook as users write them: all_reduce, then arithmetic in a callback."""
    work = dist.all_reduce(bucket.buffer().div_(dist.get_world_size()), async_op=True)
    future: torch.futures.Future[torch.Tensor] = work.get_future().then(
        lambda done: done.value()[0].mul_(2).div_(2)
    )
    return future


def train(group: dist.ProcessGroup | None, hook: Callable[..., Any] | None, **options: Any) -> torch.Tensor:
    """The parameters after a few steps on data that differ by rank; DDP must take the first from rank 0."""
    torch.manual_seed(5 + dist.get_rank())
    model = nn.Sequential(nn.Linear(20, 300), nn.BatchNorm1d(300), nn.ReLU(), nn.Linear(300, 3))
    parallel = DistributedDataParallel(model, process_group=group, bucket_cap_mb=0.01, **options)
    if hook:
        parallel.register_comm_hook(None if hook is average_with_a_future else group, hook)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.05, momentum=0.9)
    data = torch.Generator().manual_seed(100 + dist.get_rank())
    for _ in range(5):
        optimizer.zero_grad()
        inputs = torch.randn(16, 20, generator=data)
        loss = (parallel(inputs) - inputs[:, :3]).square().mean()
        loss.backward()
        optimizer.step()
    return torch.cat([value.detach().flatten() for value in model.parameters()])


HOOKS = {"no hook": None, "fp16": fp16_compress_hook, "future": average_with_a_future}


def compare(hook: str, gradient_as_bucket_view: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The parameters after training over the default group and over gloo."""
    gloo = dist.new_group(backend="gloo")
    options = {"gradient_as_bucket_view": gradient_as_bucket_view}
    try:
        ours = train(None, HOOKS[hook], **options)
        theirs = train(gloo, fp16_compress_hook if hook == "fp16" else None, **options)
    finally:
        dist.destroy_process_group(gloo)
    return ours, theirs


@pytest.mark.parametrize("gradient_as_bucket_view", [False, True], ids=["own_gradients", "bucket_views"])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("layout", ["1x2", "2x1", "1x4", "2x2"])
def test_as_over_gloo(pools: Pools, layout: str, hook: str, gradient_as_bucket_view: bool) -> None:
    job = pools.get(layout)
    results = job.run(compare, hook, gradient_as_bucket_view)
    for ours, theirs in results:
        if job.layout.world_size == 2:  # a + b has but one result, in whatever order
            assert torch.equal(ours, theirs)
        else:
            tolerance = 1e-2 if hook == "fp16" else 1e-4
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
        assert torch.equal(ours, results[0][0]), "the ranks trained different models"
