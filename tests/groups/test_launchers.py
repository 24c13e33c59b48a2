"""The ways in which the processes of a job start: torchrun, spawn, fork, and what a forked child may do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from groups.spawned import clean_up, leave, work
from harness import BACKEND, Job, Pools
from support.program import run_program

# Rank 1 fails the first time, in the midst of an all_reduce; torchrun starts all again, with the same store.
RESTART = """
import os, sys
import torch
import torch.distributed as dist

dist.init_process_group("BACKEND")
rank, size, attempt = dist.get_rank(), dist.get_world_size(), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
group = dist.new_group()
for number in range(20):
    tensor = torch.full((10_000,), float(rank))
    dist.all_reduce(tensor, group=group)
    assert tensor[-1] == sum(range(size))
    if attempt == 0 and rank == 1 and number == 10:
        os._exit(5)
dist.destroy_process_group()
sys.stdout.write(f"rank {rank} is done in attempt {attempt}\\n")  # in one piece
""".replace("BACKEND", BACKEND)


def start_by_multiprocessing(method: str, size: int, store: str, leaves: bool = False) -> None:
    """The parent has used torch, but has no group. Raises what a child raises."""
    assert torch.ones(100, 100).matmul(torch.ones(100, 100))[0, 0] == 100
    spawn: Callable[..., object] = start_processes
    spawn(leave if leaves else work, args=(size, BACKEND, store), nprocs=size, start_method=method)


def all_reduce_in(group: dist.ProcessGroup | None = None) -> None:
    tensor = torch.ones(1000)
    dist.all_reduce(tensor, group=group)
    assert tensor[-1] == dist.get_world_size(group)


def fork_beside_a_group(destroys: bool) -> int:
    """Forks a child that ends, with or without destroying the group that it seems to have. Its exit code."""
    group = dist.new_group()
    all_reduce_in(group)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if destroys:
                dist.destroy_process_group()
            code = 0
        finally:
            os._exit(code)
    for _ in range(50):
        all_reduce_in(group)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for _ in range(50):
        all_reduce_in(group)
    all_reduce_in()
    dist.destroy_process_group(group)
    return code


def fork_a_job_of_its_own(folder: str) -> list[int]:
    """A rank that has a group forks two children, who form one of theirs, as its peers' children do too."""
    all_reduce_in()
    own = dist.get_rank()
    children = []
    for rank in range(2):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                dist.destroy_process_group()
                where = f"file://{folder}/{own}"
                dist.init_process_group(BACKEND, init_method=where, rank=rank, world_size=2)
                all_reduce_in()
                dist.destroy_process_group()
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    all_reduce_in()
    return codes


def test_torchrun_starts_again_after_a_failure(tmp_path: Path) -> None:
    script = tmp_path / "restart.py"
    script.write_text(RESTART)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    output = run_program([*torchrun, str(script)], tmp_path)
    assert sorted(output.splitlines()) == ["rank 0 is done in attempt 1", "rank 1 is done in attempt 1"]


@pytest.mark.parametrize(("method", "size"), [("spawn", 2), ("fork", 3)])
def test_multiprocessing(launch: Callable[..., Job], tmp_path: Path, method: str, size: int) -> None:
    launch("1x1").run(start_by_multiprocessing, method, size, str(tmp_path / "store"))


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_a_child_that_returns_has_left(launch: Callable[..., Job], tmp_path: Path, method: str) -> None:
    launch("1x1").run(start_by_multiprocessing, method, 3, str(tmp_path / "store"), leaves=True)


def spawn_clean_ups(store: str) -> None:
    spawn: Callable[..., object] = start_processes
    spawn(clean_up, args=(2, BACKEND, store), nprocs=2, start_method="spawn")


def test_a_spawned_child_may_communicate_at_its_end(launch: Callable[..., Job], tmp_path: Path) -> None:
    store = tmp_path / "store"
    launch("1x1").run(spawn_clean_ups, str(store))
    assert [Path(f"{store}.{rank}").read_text() for rank in range(2)] == ["[2.0, 2.0, 2.0]"] * 2


@pytest.mark.parametrize("destroys", [False, True], ids=["just_ends", "destroys"])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_a_forked_child_does_not_disturb(pools: Pools, layout: str, destroys: bool) -> None:
    job = pools.get(layout)
    assert job.run(fork_beside_a_group, destroys) == [0] * job.layout.world_size


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_forked_children_may_form_a_group(launch: Callable[..., Job], layout: str, tmp_path: Path) -> None:
    assert launch(layout).init().run(fork_a_job_of_its_own, str(tmp_path)) == [[0, 0]] * 2
