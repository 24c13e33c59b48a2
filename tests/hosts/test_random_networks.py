"""Random networks between hosts: where all reach each other the group forms, else all are told who cannot.

What is drawn: which hosts share which wires, of which families; interfaces that lead nowhere; where the ranks
meet, and by which name; what the user chooses. RING_TEST_SEED is the first case, RING_TEST_CASES how many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, Store, TCPStore

from harness import Job
from harness.layout import Layout
from support.faults import error_of, names_ranks
from support.scene import Scene
from support.wiring import OWN_NAMES, Wiring

FIRST = int(os.environ.get("RING_TEST_SEED", "14"))
CASES = int(os.environ.get("RING_TEST_CASES", "20"))
TIMEOUT = 10.0  # of groups that can form
PROMPT = 5.0  # in which they do, on a busy machine
IN_VAIN = 1.5  # the timeout of those that cannot


def work() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    tensor = torch.full((1000,), float(rank + 1))
    dist.all_reduce(tensor)
    assert tensor[0] == size * (size + 1) / 2
    for step in range(1, size):
        got = torch.empty(5000)
        to, source = (rank + step) % size, (rank - step) % size
        sent = torch.full((5000,), float(rank))
        exchange = [dist.P2POp(dist.isend, sent, to), dist.P2POp(dist.irecv, got, source)]
        for request in dist.batch_isend_irecv(exchange):
            request.wait()
        assert got[0] == source and got[-1] == source


def meet(path: str, timeout: float) -> None:
    """By a store in that file, or "" by the job's, which may be slow to be reached."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if path:
        store: Store = FileStore(path, size)
    else:
        store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    limit = timedelta(seconds=timeout)
    dist.init_process_group("ring", store=store, rank=rank, world_size=size, timeout=limit)
    work()


@pytest.fixture(scope="module")
def machines(namespaces: None) -> Iterator[Scene]:
    with closing(Scene(3, "pytest-random", switch=True)) as scene:
        yield scene


def masters(wiring: Wiring, scene: Scene, dice: random.Random) -> list[str] | None:
    """By which name each host finds the store; None where one cannot."""
    names = [dice.choice((*OWN_NAMES, *wiring.own_addresses(0)))]
    for host in range(1, wiring.hosts):
        ways = wiring.store_addresses(scene, host)
        if not ways:
            return None
        way = dice.choice(ways)
        scene.names(host, "" if "%" in way else f"{way} node0\n")
        names.append("node0" if "%" not in way and dice.random() < 0.3 else way)
    scene.names(0, "127.0.1.1 node0\n")
    return names


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_who_can_reach_each_other_meet_and_others_are_told(
    machines: Scene, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    wiring = Wiring.draw(dice)
    layout = dice.choice([f"{wiring.hosts}x1", "+".join(["2"] + ["1"] * (wiring.hosts - 1))])
    host_of = Layout.parse(layout).host_of
    wiring.build(machines)
    try:
        names = masters(wiring, machines, dice)
        path = str(tmp_path / "store") if names is None or dice.random() < 0.3 else ""
        ranks = Layout.parse(layout).ranks
        rank_env = {} if path or names is None else {r: {"MASTER_ADDR": names[host_of(r)]} for r in ranks}
        cut_off = wiring.cut_off()
        mute = [host for host in range(wiring.hosts) if wiring.chooses_nothing_on(host)]
        hopeless = bool(cut_off or mute)
        what = f"seed {seed}: {layout}, {wiring}, masters {names}, path {path!r}, cut off {cut_off}"
        with Job(
            machines,
            layout,
            env={"TORCH_RING_IFNAME": wiring.pattern},
            rank_env=rank_env,
        ) as job:
            outcomes = job.outcomes(meet, path, IN_VAIN if hopeless else TIMEOUT)
            if not hopeless:
                for rank, outcome in outcomes.items():
                    assert outcome.error is None, f"{what}\nrank {rank}: {outcome.error.traceback}"
                    assert outcome.seconds < PROMPT, what
                return
            job.healthy = False
        for rank, outcome in outcomes.items():
            message = error_of(outcome, "DistBackendError").message
            assert outcome.seconds < IN_VAIN + 2, f"{what}\nrank {rank}: {message}"
            strangers = {rank for rank in ranks if any(host_of(rank) in pair for pair in cut_off)}
            told = any(names_ranks(message, {rank}) for rank in strangers)
            if mute:
                told = "TORCH_RING_IFNAME" in message if wiring.pattern else "no network interface" in message
            assert told, f"{what}\nrank {rank}: {message}"
    finally:
        wiring.remove(machines)
