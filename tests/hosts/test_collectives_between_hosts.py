"""The collectives between hosts that share nothing but a network: namespaces of scripts/netlab."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from harness import Pools
from harness.layout import Layout
from support.tensors import OPS, check_equal, check_reduction, digest, makes_sense, values

LAYOUTS = ("2x1", "4x1", "2x2", "2+1")
DTYPES = ("float32", "bfloat16", "int64", "bool")
SIZES = (0, 1, 1001, 300_007)


def reduce_all(layout: str) -> list[str]:
    digests = []
    for dtype in DTYPES:
        for op in (op for op in OPS if makes_sense(dtype, op)):
            for numel in SIZES if op == "SUM" else (1001,):
                inputs = _inputs(dtype, numel, op)
                result = inputs[dist.get_rank()].clone()
                dist.all_reduce(result, op=getattr(dist.ReduceOp, op))
                check_reduction(result, inputs, op, Layout.parse(layout))
                digests.append(digest(result))
    return digests


def move_all(layout: str) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for dtype in DTYPES:
        for numel in SIZES:
            inputs = _inputs(dtype, numel)
            for root in range(size):
                result = inputs[rank].clone()
                dist.broadcast(result, src=root)
                check_equal(result, inputs[root])
            gathered = torch.empty(size * numel, dtype=inputs[0].dtype)
            dist.all_gather_into_tensor(gathered, inputs[rank])
            check_equal(gathered, torch.cat(inputs))
    numel = 100_003
    inputs = _inputs("float32", size * numel)
    part = torch.empty(numel)
    dist.reduce_scatter_tensor(part, inputs[rank])
    mine = [each[rank * numel : (rank + 1) * numel] for each in inputs]
    check_reduction(part, mine, "SUM", Layout.parse(layout))
    dist.barrier()


def _inputs(dtype: str, numel: int, op: str = "SUM") -> list[torch.Tensor]:
    size = dist.get_world_size()
    return [values(dtype, numel, seed=9, rank=rank, world_size=size, op=op) for rank in range(size)]


def count_sent_bytes(numel: int, times: int) -> int:
    """How many bytes this rank's host sends during `times` all_reduces of float32[numel]."""
    tensor = torch.ones(numel)
    dist.all_reduce(tensor)
    dist.barrier()
    before = _sent_bytes()
    for _ in range(times):
        dist.all_reduce(tensor)
    dist.barrier()
    return _sent_bytes() - before


def _sent_bytes() -> int:
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "eth0":
            return int(counters.split()[8])
    raise LookupError("this host has no eth0")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reductions(lab_pools: Pools, layout: str) -> None:
    digests = lab_pools.get(layout).run(reduce_all, layout)
    assert all(each == digests[0] for each in digests)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_moves(lab_pools: Pools, layout: str) -> None:
    lab_pools.get(layout).run(move_all, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_byte_crosses_a_host_link_as_seldom_as_possible(lab_pools: Pools, layout: str) -> None:
    """2 (H - 1) / H times for H hosts, however many ranks a host runs."""
    numel, times = 1_000_000, 4
    job = lab_pools.get(layout)
    sent = job.run(count_sent_bytes, numel, times)
    hosts = job.layout.hosts
    ideal = 4 * numel * times * 2 * (hosts - 1) / hosts
    # 66 bytes of headers for each 1448 of payload, if segments went out one by one, and acknowledgements.
    assert max(sent) < 1.10 * ideal, f"bytes sent by the ranks' hosts: {sent}, ideal: {ideal:.0f}"
    assert min(sent) > 0.9 * ideal, "the tensor did not go over the hosts' links"
