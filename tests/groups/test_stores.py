"""The stores that ranks can meet in: each of torch's, with prefixes, and with several jobs in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, HashStore, PrefixStore, Store, TCPStore

from harness import BACKEND, Job


def place() -> tuple[int, int]:
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def tcp_store() -> TCPStore:
    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def tcp(folder: str) -> Store:
    return tcp_store()


def file(folder: str) -> Store:
    return FileStore(f"{folder}/store", place()[1])


def prefixed_tcp(folder: str) -> Store:
    return PrefixStore("outer", PrefixStore("inner/with/slashes", tcp_store()))


def prefixed_file(folder: str) -> Store:
    return PrefixStore("a prefix: 100%", file(folder))


def use_everything() -> None:
    """What asks the store again: subgroups, and messages, which open connections late."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for members in (None, list(range(size - 1)), [0, size - 1]):
        group = dist.new_group(members)
        if members is None or rank in members:
            tensor = torch.ones(1000)
            dist.all_reduce(tensor, group=group)
            assert tensor[-1] == dist.get_world_size(group)
    work = dist.isend(torch.full((5000,), float(rank)), dst=(rank + 1) % size)
    tensor = torch.empty(5000)
    dist.recv(tensor, src=(rank - 1) % size)
    assert work is not None
    work.wait()
    assert tensor[-1] == (rank - 1) % size
    dist.destroy_process_group()


def start_in(store: Callable[[str], Store], folder: str) -> None:
    rank, size = place()
    dist.init_process_group(BACKEND, store=store(folder), rank=rank, world_size=size)
    use_everything()


def start_by(method: str) -> None:
    rank, size = place()
    dist.init_process_group(BACKEND, init_method=method, rank=rank, world_size=size)
    use_everything()


def start_alone() -> None:
    """A HashStore is within a process: a job of one rank. Ranks that are threads: test_threads.py."""
    dist.init_process_group(BACKEND, store=HashStore(), rank=0, world_size=1)
    tensor = torch.ones(5)
    for group in (None, dist.new_group()):
        dist.all_reduce(tensor, group=group)
        dist.barrier(group=group)
    assert tensor.tolist() == [1.0] * 5
    dist.destroy_process_group()


def start_one_of_two_jobs() -> float:
    """Two jobs with nothing between them but their prefixes in one store."""
    rank, size = place()
    half = size // 2
    mine = PrefixStore(f"job {rank // half}", tcp_store())
    dist.init_process_group(BACKEND, store=mine, rank=rank % half, world_size=half)
    tensor = torch.tensor([float(rank)])
    dist.all_reduce(tensor)
    dist.destroy_process_group()
    return float(tensor)


@pytest.mark.parametrize("layout", ["1x3", "2+1"])
@pytest.mark.parametrize("store", [tcp, file, prefixed_tcp, prefixed_file])
def test_stores(
    launch: Callable[..., Job], layout: str, store: Callable[[str], Store], tmp_path: Path
) -> None:
    launch(layout).run(start_in, store, str(tmp_path))


@pytest.mark.parametrize("layout", ["1x3", "2+1"])
@pytest.mark.parametrize("method", ["env://", "file://{folder}/store"])
def test_methods(launch: Callable[..., Job], layout: str, method: str, tmp_path: Path) -> None:
    launch(layout).run(start_by, method.format(folder=tmp_path))


def test_a_store_within_one_process(launch: Callable[..., Job]) -> None:
    launch("1x1").run(start_alone)


@pytest.mark.parametrize("layout", ["1x4", "4x1"])
def test_two_jobs_in_one_store(launch: Callable[..., Job], layout: str) -> None:
    assert launch(layout).run(start_one_of_two_jobs) == [1.0, 1.0, 5.0, 5.0]
