"""A host that is cut off: a process that ends waits for it once, and idle connections to it die."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

import torch_ring._C as _C
from harness import Job, Lab
from support.faults import error_of, names_ranks

GROUPS = 4
BOUND = 5.2  # seconds that leaving one group may take: its goodbye, and what is still to be delivered

_groups: list[dist.ProcessGroup] = []  # of this process


def make_groups() -> None:
    """Each has sent a message: the connection for those is there."""
    for _ in range(GROUPS):
        group = dist.new_group([0, 1])
        assert isinstance(group, dist.ProcessGroup)
        _groups.append(group)
        if dist.get_rank() == 0:
            dist.send(torch.ones(1000), 1, group=group)
        else:
            dist.recv(torch.zeros(1000), 0, group=group)


def send_and_leave(how: Callable[[], None]) -> float:
    """Sends into the void in every group; the seconds that leaving them all takes."""
    for group in _groups:
        dist.isend(torch.ones(1000), 1, group=group)
    time.sleep(0.2)
    started = time.monotonic()
    how()
    return time.monotonic() - started


def receive() -> None:
    dist.recv(torch.zeros(4), 1 - dist.get_rank())


@pytest.mark.parametrize("how", [_C.shutdown_all, dist.destroy_process_group])
def test_leaving_many_groups_takes_as_long_as_leaving_one(lab: Lab, how: Callable[[], None]) -> None:
    """All at the end of the process, or one after another."""
    with Job(lab, "2x1") as job:
        job.init().run(make_groups)
        lab.netlab("link", "1", "down")
        try:
            took = job.submit(send_and_leave, how, ranks=[0]).wait(60)[0]
        finally:
            lab.netlab("link", "1", "up")
            job.healthy = False
        assert took.error is None, took.error
        assert took.value < BOUND + 2


def test_an_idle_connection_to_a_host_that_is_cut_off_dies(lab: Lab) -> None:
    with Job(lab, "2x1", env={"TORCH_RING_KEEPALIVE_S": "1"}) as job:
        job.init(timeout=60).run(dist.barrier)
        pending = job.submit(receive)
        time.sleep(0.5)  # longer than kernels put off acknowledgements: where one is due, they do not ask
        lab.netlab("link", "1", "down")
        try:
            outcomes = pending.wait(40)
        finally:
            lab.netlab("link", "1", "up")
            job.healthy = False
        for rank, outcome in outcomes.items():
            message = error_of(outcome, "RingPeerError").message
            assert names_ranks(message, {1 - rank}) and "TORCH_RING_KEEPALIVE_S" in message, message
