"""The harness itself, on gloo: what it promises when ranks fail, die or hang."""

from __future__ import annotations

import functools
import operator
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from harness import HangError, Job, Loopback, Pools, RankError
from harness.layout import Layout
from harness.proc import listening_ports
from support.tensors import DTYPES, FORMS, OPS, check_reduction, digest, hold, makes_sense, values


def identity() -> tuple[int, str, int]:
    return int(os.environ["RANK"]), os.environ.get("TORCH_RING_HOST_ID", ""), os.getpid()


def join_gloo() -> None:
    dist.init_process_group("gloo")


def sum_of_ranks() -> float:
    tensor = torch.full((3,), float(dist.get_rank()))
    dist.all_reduce(tensor)
    return float(tensor[0])


def fail_on(rank: int) -> None:
    if int(os.environ["RANK"]) == rank:
        raise LookupError(f"rank {rank} looked in vain")


def sleep_on(rank: int) -> None:
    if int(os.environ["RANK"]) == rank:
        time.sleep(1000)


def die_on(rank: int) -> None:
    if int(os.environ["RANK"]) == rank:
        os._exit(7)


@pytest.mark.parametrize(
    ("text", "ranks_per_host"), [("1x4", (4,)), ("3x2", (2, 2, 2)), ("2+1", (2, 1)), ("4x1", (1,) * 4)]
)
def test_layouts(text: str, ranks_per_host: tuple[int, ...]) -> None:
    layout = Layout.parse(text)
    assert (layout.ranks_per_host, str(layout)) == (ranks_per_host, text)
    places = [(layout.host_of(rank), layout.local_rank_of(rank)) for rank in layout.ranks]
    assert places == [(host, local) for host, ranks in enumerate(ranks_per_host) for local in range(ranks)]


@pytest.mark.parametrize("text", ["", "two", "2", "0x1", "2x0", "2+0", "2x2+1", "1x2@1gbit"])
def test_what_is_no_layout_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed are layouts such as"):
        Layout.parse(text)


def test_ranks_are_processes_of_their_hosts(launch: Callable[..., Job]) -> None:
    seen = launch("2+1").run(identity)
    assert [(rank, host) for rank, host, _ in seen] == [(0, "host0"), (1, "host0"), (2, "host1")]
    assert len({pid for _, _, pid in seen} | {os.getpid()}) == 4


def test_jobs_meet_in_the_store_without_mixing(launch: Callable[..., Job]) -> None:
    first, second = launch("1x2"), launch("3x1")
    for job in (first, second):
        job.run(join_gloo)
    assert first.run(sum_of_ranks) == [1.0] * 2
    assert second.run(sum_of_ranks) == [3.0] * 3
    assert listening_ports(first.processes[0].pid), "gloo listens, so listening_ports must find it"


def test_an_error_comes_back_with_its_type(launch: Callable[..., Job]) -> None:
    job = launch("1x2")
    outcomes = job.outcomes(fail_on, 1)
    assert outcomes[0].error is None
    error = outcomes[1].error
    assert error and error.type_name == "LookupError" and error.is_a("Exception")
    assert "looked in vain" in error.message and "in fail_on" in error.traceback
    with pytest.raises(RankError, match="looked in vain"):
        job.run(fail_on, 0)


def test_a_dead_rank_is_reported_with_its_status(launch: Callable[..., Job]) -> None:
    error = launch("1x2").outcomes(die_on, 1)[1].error
    assert error and error.is_a("ProcessDied") and "status 7" in error.message


def test_a_hang_shows_all_stacks_and_ends_the_processes(launch: Callable[..., Job]) -> None:
    job = launch("1x2")
    with pytest.raises(HangError, match="in sleep_on") as caught:
        job.run(sleep_on, 1, deadline=0.5)
    assert "ranks [1]" in str(caught.value)
    assert not any(job.alive(rank) for rank in job.layout.ranks)


def test_a_pool_replaces_a_job_that_lost_a_rank(loopback: Loopback) -> None:
    with Pools(loopback, backend="gloo") as pools:
        job = pools.get("1x2")
        assert pools.get("1x2") is job
        job.kill(1)
        assert not job.alive(1) and job.alive(0)
        assert pools.get("1x2") is not job
        assert pools.get("1x2").run(sum_of_ranks) == [1.0] * 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_reference_tells_right_from_wrong(dtype: str) -> None:
    layout = Layout.parse("1x3")
    for op in filter(lambda op: makes_sense(dtype, op), OPS):
        inputs = [values(dtype, 50, seed=1, rank=rank, world_size=3, op=op) for rank in range(3)]
        right = _plain_reduction(inputs, op)
        check_reduction(right, inputs, op, layout)
        wrong = right.clone()
        wrong[7] = inputs[0][8] if dtype != "bool" else not right[7]
        with pytest.raises(AssertionError, match="1 elements are wrong; the first, at 7"):
            check_reduction(wrong, inputs, op, layout)


def _plain_reduction(inputs: list[torch.Tensor], op: str) -> torch.Tensor:
    """Element by element in Python's own numbers, rounded once."""
    functions: dict[str, Callable[[Any, Any], Any]] = {
        "PRODUCT": operator.mul,
        "MIN": min,
        "MAX": max,
        "BAND": operator.and_,
        "BOR": operator.or_,
        "BXOR": operator.xor,
    }
    dtype = inputs[0].dtype
    columns = zip(*(each.tolist() for each in inputs), strict=True)
    totals = [functools.reduce(functions.get(op, operator.add), column) for column in columns]
    if op == "AVG":
        totals = [
            total / len(inputs) if dtype.is_floating_point else _truncated(total, len(inputs))
            for total in totals
        ]
    if dtype == torch.bool or dtype.is_floating_point:
        return torch.tensor(totals, dtype=torch.float64).to(dtype)
    limits = torch.iinfo(dtype)
    span = limits.max - limits.min + 1
    wrapped = [(total - limits.min) % span + limits.min for total in totals]
    return torch.from_numpy(np.array(wrapped, dtype=str(dtype).removeprefix("torch.")))


def _truncated(total: int, divisor: int) -> int:
    return total // divisor if total >= 0 else -(-total // divisor)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_forms_keep_content_and_notice_stray_writes(dtype: str, form: str) -> None:
    content = values(dtype, 30, seed=2, rank=0)
    held = hold(content, form)
    assert digest(held.tensor.reshape(-1)) == digest(content)
    held.check_gaps()
    for gap in held.gaps:
        gap[(0,) * gap.dim()] = 0
        with pytest.raises(AssertionError, match="between"):
            held.check_gaps()
