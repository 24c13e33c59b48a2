"""TORCH_DISTRIBUTED_DEBUG=DETAIL: torch checks each collective of a group before the group runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import DebugLevel, get_debug_level, set_debug_level_from_env
from torch.nn.parallel import DistributedDataParallel

from harness import BACKEND, Job, Loopback, Pools
from support.training import batches, make_model, parameters_of


def read_debug_level() -> None:
    """What torch does when it is imported: these processes are forks of one that had no such setting."""
    set_debug_level_from_env()
    assert get_debug_level() == DebugLevel.DETAIL


@pytest.fixture
def debugged(training_place: Loopback) -> Iterator[Callable[..., Job]]:
    """Starts jobs whose groups check: debugged("1x2", backend="gloo")."""
    jobs: list[Job] = []

    def start(layout: str, backend: str = BACKEND) -> Job:
        job = Job(training_place, layout, env={"TORCH_DISTRIBUTED_DEBUG": "DETAIL"})
        jobs.append(job)
        job.run(read_debug_level)
        return job.init(backend=backend)

    yield start
    for job in jobs:
        job.kill_all()


def run_all_collectives() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    total = float(sum(range(size)))
    own, everyone = torch.full((4,), float(rank)), torch.arange(float(size)).repeat_interleave(4)
    zeros = torch.zeros(4)
    lists = [torch.zeros(4) for _ in range(size)]

    tensor = own.clone()
    dist.all_reduce(tensor)
    assert torch.equal(tensor, zeros + total)
    dist.reduce(tensor := own.clone(), 1)
    assert rank != 1 or torch.equal(tensor, zeros + total)
    dist.broadcast(tensor := own.clone(), 1)
    assert torch.equal(tensor, zeros + 1)
    dist.all_gather(lists, own)
    assert torch.equal(torch.cat(lists), everyone)
    dist.all_gather_into_tensor(tensor := torch.zeros(4 * size), own)
    assert torch.equal(tensor, everyone)
    dist.gather(own, lists if rank == 1 else None, 1)
    dist.scatter(tensor := torch.zeros(4), lists if rank == 1 else None, 1)
    assert torch.equal(tensor, own)
    dist.reduce_scatter(tensor, lists)
    assert torch.equal(tensor, own * size)
    dist.reduce_scatter_tensor(tensor, everyone.clone())
    assert torch.equal(tensor, own * size)
    outputs = [torch.zeros(4) for _ in range(size)]
    dist.all_to_all(outputs, [own + 10 * other for other in range(size)])
    assert torch.equal(torch.cat(outputs), everyone + 10 * rank)
    dist.all_to_all_single(tensor := torch.zeros(4 * size), own.repeat(size))
    assert torch.equal(tensor, everyone)
    if rank == 0:
        dist.send(own + 5, 1)
    elif rank == 1:
        dist.recv(tensor := torch.zeros(4), 0)
        assert torch.equal(tensor, zeros + 5)
    objects: list[object] = [None] * size
    dist.all_gather_object(objects, {"rank": rank})
    assert objects == [{"rank": other} for other in range(size)]
    dist.barrier()


def run_in_subgroup() -> None:
    group = dist.new_group([0, 1])
    if dist.get_rank() < 2:
        dist.all_reduce(tensor := torch.ones(2), group=group)
        assert torch.equal(tensor, torch.full((2,), 2.0))
        dist.destroy_process_group(group)


def train() -> torch.Tensor:
    parallel = DistributedDataParallel(make_model(), bucket_cap_mb=0.001)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for inputs in batches():
        optimizer.zero_grad()
        parallel(inputs).square().mean().backward()
        optimizer.step()
    return parameters_of(parallel)


def other_shape() -> None:
    dist.all_reduce(torch.ones(2, 3) if dist.get_rank() else torch.ones(3, 2))


def other_dtype() -> None:
    dist.all_reduce(torch.ones(6, dtype=torch.float64 if dist.get_rank() else torch.float32))


def other_collective() -> None:
    tensor = torch.ones(6)
    if dist.get_rank():
        dist.broadcast(tensor, 0)
    else:
        dist.all_reduce(tensor)


def other_order() -> None:
    """One rank leaves a collective out."""
    if dist.get_rank() == 0:
        dist.all_reduce(torch.ones(7))
    dist.reduce(torch.ones(8), 0)


@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_collectives_pass(debugged: Callable[..., Job], layout: str) -> None:
    job = debugged(layout)
    job.run(run_all_collectives)
    job.run(run_in_subgroup)
    job.run(run_all_collectives)


def test_training_is_the_same(debugged: Callable[..., Job], pools: Pools) -> None:
    for checked, usual in zip(debugged("1x2").run(train), pools.get("1x2").run(train), strict=True):
        assert torch.equal(checked, usual)


@pytest.mark.parametrize("mistake", [other_shape, other_dtype, other_collective, other_order])
def test_mistakes_are_found(debugged: Callable[..., Job], mistake: Callable[[], None]) -> None:
    """By each rank, before anything is sent, and told as torch tells it over gloo."""
    ours, theirs = (debugged("2+1", backend).outcomes(mistake) for backend in (BACKEND, "gloo"))
    assert set(ours) == set(theirs) == {0, 1, 2}
    for rank, outcome in ours.items():
        error, wanted = outcome.error, theirs[rank].error
        assert error and wanted
        assert error.message == wanted.message
        assert "Detected mismatch between collectives on ranks" in error.message
        assert error.type_name == wanted.type_name == "RuntimeError"
