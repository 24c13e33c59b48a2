"""Ranks find each other whatever the names, families, interfaces and routes of their hosts are."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore

from harness import Job
from harness.proc import listening_ports
from harness.worker import init_group
from support.faults import error_of
from support.forward import forward
from support.scene import Scene

TIMEOUT = 10.0
PROMPT = 5.0  # seconds for what needs no wait, on a busy machine


def all_reduce() -> None:
    size = dist.get_world_size()
    tensor = torch.full((1000,), float(dist.get_rank() + 1))
    dist.all_reduce(tensor)
    assert tensor[0] == size * (size + 1) / 2


def work() -> None:
    """A collective, and messages, which are connected when they are first sent."""
    all_reduce()
    rank, size = dist.get_rank(), dist.get_world_size()
    got = torch.empty(100_000)
    to, source = (rank + 1) % size, (rank - 1) % size
    sent = torch.full((100_000,), float(rank))
    exchange = [dist.P2POp(dist.isend, sent, to), dist.P2POp(dist.irecv, got, source)]
    for request in dist.batch_isend_irecv(exchange):
        request.wait()
    assert got[0] == source


def meet(timeout: float = TIMEOUT) -> None:
    init_group(timeout)
    work()


def meet_by_file(path: str, rank: int, size: int) -> None:
    store = FileStore(path, size)
    dist.init_process_group(
        "ring", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=TIMEOUT)
    )
    work()


def meet_in(scene: Scene, layout: str, masters: list[str], **options: str) -> str:
    """Forms a group and uses it; what the ranks logged. `masters`: MASTER_ADDR by host."""
    env = {"TORCH_RING_LOG_LEVEL": "info", **options}
    job = Job(scene, layout, env=env, rank_env=by_rank(layout, masters))
    with job:
        started = time.monotonic()
        job.run(meet)
        assert time.monotonic() - started < PROMPT
        return "".join(process.log.read_text() for process in job.processes)


def by_rank(layout: str, masters: list[str]) -> dict[int, dict[str, str]]:
    ranks_per_host = int(layout.partition("x")[2])
    ranks = range(len(masters) * ranks_per_host)
    return {rank: {"MASTER_ADDR": masters[rank // ranks_per_host]} for rank in ranks}


@pytest.fixture(scope="module")
def plain(namespaces: None) -> Iterator[Scene]:
    """Two hosts of both families; each has a bridge for containers that is the same everywhere."""
    with closing(Scene(2, "pytest-plain")) as scene:
        for host in range(2):
            scene.bridge(host, "docker0", "172.17.0.1/16")
        scene.cable(0, "eth0", 1, "eth0")
        for host in range(2):
            scene.assign(host, "eth0", f"10.78.0.{host + 1}/24", f"fd78::{host + 1}/64")
            scene.names(host, "127.0.1.1 node0\n" if host == 0 else "10.78.0.1 node0\n")
        yield scene


@pytest.mark.parametrize("master", ["localhost", "node0"])
def test_the_stores_host_calls_it_by_a_name_of_its_own(plain: Scene, master: str) -> None:
    """As Kubeflow's operators do; and Debian, where a host's own name is 127.0.1.1."""
    meet_in(plain, "2x1", [master, "10.78.0.1"])


def test_so_it_does_with_several_ranks_on_each_host(plain: Scene) -> None:
    meet_in(plain, "2x2", ["localhost", "node0"])


@pytest.mark.parametrize("ifname", ["", "d,e", "^lo"])
def test_without_a_store_on_the_network(plain: Scene, ifname: str, tmp_path: Path) -> None:
    with Job(plain, "2x1", env={"TORCH_RING_IFNAME": ifname}) as job:
        started = time.monotonic()
        path = str(tmp_path / "store")
        calls = [job.submit(meet_by_file, path, rank, 2, ranks=[rank]) for rank in range(2)]
        for call in calls:
            call.values()
        assert time.monotonic() - started < PROMPT


@pytest.fixture
def one_of_both_families(plain: Scene) -> Iterator[Scene]:
    plain.names(0, "fd78::1 node0\n10.78.0.1 node0\n")
    plain.sysctl(1, "ipv6.conf.all.disable_ipv6=1")
    yield plain
    plain.sysctl(1, "ipv6.conf.all.disable_ipv6=0")
    plain.assign(1, "eth0", "fd78::2/64")


def test_a_host_of_both_families_and_one_of_ipv4_alone(one_of_both_families: Scene) -> None:
    meet_in(one_of_both_families, "2x1", ["node0", "10.78.0.1"])


def test_by_link_local_addresses_alone(namespaces: None) -> None:
    with closing(Scene(2, "pytest-links")) as scene:
        scene.cable(0, "spare0", 1, "spare1")  # so that neither the names nor the numbers of the zones agree
        scene.cable(0, "eth0", 1, "net7")
        store = scene.link_local(0, "eth0")
        meet_in(scene, "2x1", ["::1", f"{store}%net7"])
        meet_in(scene, "2x1", [f"{store}%eth0", f"{store}%net7"], TORCH_RING_IFNAME="=eth0,=net7")


def test_the_way_to_the_store_is_not_the_way_to_the_peer(namespaces: None) -> None:
    with closing(Scene(3, "pytest-routes")) as scene:
        for host in (1, 2):
            scene.cable(0, f"mgmt{host}", host, "mgmt0")
            scene.assign(0, f"mgmt{host}", f"10.79.{host}.1/24")
            scene.assign(host, "mgmt0", f"10.79.{host}.2/24")
        scene.cable(1, "eth0", 2, "eth0")
        for host in (1, 2):
            scene.assign(host, "eth0", f"10.78.0.{host}/24")
        # What is sent to the network of the other's store is lost, without a word.
        scene.ip(1, "route", "add", "10.79.2.0/24", "via", "10.79.1.1")
        scene.ip(2, "route", "add", "10.79.1.0/24", "via", "10.79.2.1")
        meet_in(scene, "3x1", ["localhost", "10.79.1.1", "10.79.2.1"])


@pytest.fixture(scope="module")
def two_networks(namespaces: None) -> Iterator[Scene]:
    """The store is reached by the first, which is for management."""
    with closing(Scene(2, "pytest-networks")) as scene:
        scene.cable(0, "mgmt0", 1, "mgmt0")
        scene.cable(0, "eth0", 1, "eth0")
        for host in range(2):
            scene.assign(host, "mgmt0", f"10.79.0.{host + 1}/24")
            scene.assign(host, "eth0", f"10.78.0.{host + 1}/24")
        yield scene


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ({}, "10.79 10.78"),
        ({"GLOO_SOCKET_IFNAME": "eth0"}, "10.78"),
        ({"GLOO_SOCKET_IFNAME": "eth0,mgmt0"}, "10.78 10.79"),
        ({"NCCL_SOCKET_IFNAME": "^lo,mgmt"}, "10.78"),
        ({"NCCL_SOCKET_IFNAME": "=mgmt0", "GLOO_SOCKET_IFNAME": "eth0"}, "10.78"),
        ({"GLOO_SOCKET_IFNAME": "mgmt0", "TORCH_RING_IFNAME": "eth0"}, "10.78"),
    ],
)
def test_interfaces_chosen_for_other_libraries(
    two_networks: Scene, options: dict[str, str], offered: str
) -> None:
    log = meet_in(two_networks, "2x1", ["10.79.0.1"] * 2, **options)
    lines = re.findall(r"other hosts may call .*", log)
    assert len(lines) == 2
    for line in lines:
        assert " ".join(re.findall(r"(10\.7\d)\.0\.\d port", line)) == offered
        chosen = [f"{name}='{value}'" for name, value in options.items() if name in line]
        assert bool(chosen) == bool(options) and all(one in line for one in chosen), line
    assert "warning" not in log


@pytest.mark.parametrize("name", ["GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"])
@pytest.mark.parametrize("value", ["lo", "nope"])
def test_a_choice_for_another_library_that_is_of_no_use(two_networks: Scene, name: str, value: str) -> None:
    log = meet_in(two_networks, "2x1", ["10.79.0.1"] * 2, **{name: value})
    assert log.count(f"warning: {name}='{value}'") == 2


def test_one_port_for_each_process_of_a_range(two_networks: Scene) -> None:
    ports = range(40000, 40002)  # as many as each host has ranks
    for _ in range(2):  # what the first job left behind does not stand in the way of the second
        env = {"TORCH_RING_PORT_RANGE": "40000-40001"}
        with Job(two_networks, "2x2", env=env, rank_env=by_rank("2x2", ["10.79.0.1"] * 2)) as job:
            job.init(TIMEOUT)
            job.run(work)
            found = [listening_ports(process.pid) for process in job.processes]
        assert sorted(found[:2]) == sorted(found[2:]) == [[port] for port in ports]


def test_a_range_that_is_too_small(two_networks: Scene) -> None:
    env = {"TORCH_RING_PORT_RANGE": "40000"}
    with Job(two_networks, "2x2", env=env, rank_env=by_rank("2x2", ["10.79.0.1"] * 2)) as job:
        outcomes = job.outcomes(init_group, 3.0)
        texts = [outcome.error.message for outcome in outcomes.values() if outcome.error]
    assert len(texts) == 4
    assert sum("TORCH_RING_PORT_RANGE=40000-40000" in text for text in texts) >= 2, texts


@pytest.fixture
def silenced(two_networks: Scene) -> Iterator[Scene]:
    """What host 1 would answer to host 0 on eth0 is lost: so a firewall looks that drops what comes in."""
    two_networks.ip(1, "route", "add", "blackhole", "10.78.0.1/32")
    two_networks.sysctl(1, "ipv6.conf.eth0.disable_ipv6=1")  # also to its link-local address
    yield two_networks
    two_networks.sysctl(1, "ipv6.conf.eth0.disable_ipv6=0")
    two_networks.ip(1, "route", "delete", "blackhole", "10.78.0.1/32")


def test_both_sides_name_the_port_that_a_firewall_keeps_closed(silenced: Scene) -> None:
    env = {"TORCH_RING_PORT_RANGE": "40000-40015", "TORCH_RING_IFNAME": "eth0"}
    with Job(silenced, "2x1", env=env, rank_env=by_rank("2x1", ["10.79.0.1"] * 2)) as job:
        outcomes = job.outcomes(init_group, 3.0)
    for outcome in outcomes.values():
        message = error_of(outcome, "DistBackendError").message
        assert re.search(r"10\.78\.0\.2 port 400(0\d|1[0-5])", message), message
        assert "firewall" in message and "TORCH_RING_PORT_RANGE" in message, message
        assert outcome.seconds < 5


def test_a_mapped_port(silenced: Scene) -> None:
    mapped = {"TORCH_RING_IFNAME": "eth0", "TORCH_RING_PORT_RANGE": "40000"}
    mapped["TORCH_RING_ADVERTISE"] = "10.79.0.2:45001"
    env = by_rank("2x1", ["10.79.0.1"] * 2)
    env[1] |= mapped
    with (
        forward(silenced, 1, "10.79.0.2", 45001, "10.78.0.2", 40000),
        Job(silenced, "2x1", rank_env=env) as job,
    ):
        started = time.monotonic()
        job.init(TIMEOUT)
        job.run(all_reduce)
        assert time.monotonic() - started < PROMPT


@pytest.fixture
def few_ports(two_networks: Scene) -> Iterator[Scene]:
    before = two_networks.execute(0, "sysctl", "-n", "net.ipv4.ip_local_port_range").split()
    two_networks.sysctl(0, "ipv4.ip_local_port_range=50000 50003")
    yield two_networks
    two_networks.sysctl(0, f"ipv4.ip_local_port_range={' '.join(before)}")


def test_who_is_out_of_local_ports_is_not_told_to_look_for_interfaces(few_ports: Scene) -> None:
    env = {"TORCH_RING_STREAMS": "8", "TORCH_RING_IFNAME": "eth0"}
    with Job(few_ports, "2x1", env=env, rank_env=by_rank("2x1", ["10.79.0.1"] * 2)) as job:
        outcome = job.outcomes(init_group, 6.0)[0]
    message = error_of(outcome, "DistBackendError").message
    assert "no free local port" in message and "ip_local_port_range" in message, message
    assert "TORCH_RING_IFNAME" not in message, message
    assert outcome.seconds < 3, "trying again does not help"
