"""Where packets overtake one another, a connection goes back to a congestion control that does not mind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import torch
import torch.distributed as dist

from harness import Job, Lab
from support import PRELOADED
from support.overtaking import stay_on_one_core, wire


def broadcast_much(times: int) -> None:
    tensor = torch.empty(16 << 20)
    for number in range(times):
        tensor.fill_(number if dist.get_rank() == 0 else -1)
        dist.broadcast(tensor, src=0)
        assert torch.all(tensor == number)


@pytest.fixture
def near(namespaces: None) -> Iterator[Lab]:
    with closing(Lab(2, "pytest-overtaking", modules=PRELOADED)) as lab:
        yield lab


def goes_back(lab: Lab, every: int) -> bool:
    """Whether a connection did within a GiB."""
    with wire(lab, 0, 1, every), Job(lab, "2x1", env={"TORCH_RING_LOG_LEVEL": "info"}) as job:
        job.run(stay_on_one_core)
        job.init()
        for _ in range(8):
            job.run(broadcast_much, 2)
            if any("packets overtake one another" in one.log.read_text() for one in job.processes):
                return True
    return False


def test_a_connection_goes_back_to_bbr_where_packets_are_overtaken(near: Lab) -> None:
    own = near.netlab("exec", "0", "sysctl", "-n", "net.ipv4.tcp_congestion_control")
    assert goes_back(near, every=40) == own.startswith("bbr"), "else there is nothing to go back to"


def test_a_connection_stays_with_its_own_where_none_is(near: Lab) -> None:
    assert not goes_back(near, every=0)
