"""Where packets overtake one another, a connection goes back to a congestion control that does not mind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from harness import Job, Lab
from harness.overtaking import stay_on_one_core, wire

AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def broadcast_much(times: int) -> None:
    tensor = torch.empty(16 << 20)
    for number in range(times):
        tensor.fill_(number if dist.get_rank() == 0 else -1)
        dist.broadcast(tensor, src=0)
        assert torch.all(tensor == number)


@pytest.fixture
def near(namespaces: None) -> Iterator[Lab]:
    """Two hosts that choose bbr, which is what a connection goes back to."""
    if "bbr" not in AVAILABLE.read_text().split():
        pytest.skip("this kernel has no bbr, so a connection has nothing to go back to")
    with closing(Lab(2, "pytest-overtaking")) as lab:
        for host in range(lab.hosts):
            lab.netlab("exec", str(host), "sysctl", "-qw", "net.ipv4.tcp_congestion_control=bbr")
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
    assert goes_back(near, every=40)


def test_a_connection_stays_with_its_own_where_none_is(near: Lab) -> None:
    assert not goes_back(near, every=0)
