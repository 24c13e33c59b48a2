"""torch.profiler shows collectives over ring as it shows them over gloo: name, shapes, types, strides."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from harness import Pools
from support.training import over_both

Group = dist.ProcessGroup
COUNTERS = ("External id", "Ev Idx", "Record function id")  # of events: they say nothing of what happened


def tensor() -> torch.Tensor:
    return torch.ones(3, 4, dtype=torch.float64)


def tensors() -> list[torch.Tensor]:
    return [tensor() for _ in range(dist.get_world_size())]


def all_reduce(group: Group) -> None:
    dist.all_reduce(tensor(), group=group)


def all_reduce_async(group: Group) -> None:
    work = dist.all_reduce(tensor(), group=group, async_op=True)
    assert work is not None
    work.wait()


def all_reduce_transposed(group: Group) -> None:
    dist.all_reduce(torch.ones(4, 3).T, group=group)


def broadcast(group: Group) -> None:
    dist.broadcast(tensor(), 0, group=group)


def reduce(group: Group) -> None:
    dist.reduce(tensor(), 0, group=group)


def all_gather(group: Group) -> None:
    dist.all_gather(tensors(), tensor(), group=group)


def all_gather_into_tensor(group: Group) -> None:
    dist.all_gather_into_tensor(torch.cat(tensors()), tensor(), group=group)


def gather(group: Group) -> None:
    dist.gather(tensor(), tensors() if dist.get_rank() == 0 else None, group=group)


def scatter(group: Group) -> None:
    dist.scatter(tensor(), tensors() if dist.get_rank() == 0 else None, group=group)


def reduce_scatter(group: Group) -> None:
    dist.reduce_scatter(tensor(), tensors(), group=group)


def reduce_scatter_tensor(group: Group) -> None:
    dist.reduce_scatter_tensor(tensor(), torch.cat(tensors()), group=group)


def all_to_all(group: Group) -> None:
    dist.all_to_all(tensors(), tensors(), group=group)


def all_to_all_single(group: Group) -> None:
    dist.all_to_all_single(torch.cat(tensors()), torch.cat(tensors()), group=group)


def barrier(group: Group) -> None:
    dist.barrier(group=group)


def send_and_recv(group: Group) -> None:
    if dist.get_rank() == 0:
        dist.send(tensor(), 1, group=group)
    else:
        dist.recv(tensor(), 0, group=group)


def recv_from_anyone(group: Group) -> None:
    if dist.get_rank() == 0:
        dist.send(tensor(), 1, group=group)
    else:
        dist.recv(tensor(), group=group)


# With the name of the span on rank 0. Without reduce_scatter, which gloo makes of all_reduces.
SPANS: dict[Callable[[Group], None], str] = {
    all_reduce: "all_reduce",
    all_reduce_async: "all_reduce",
    all_reduce_transposed: "all_reduce",
    broadcast: "broadcast",
    reduce: "reduce",
    all_gather: "all_gather",
    all_gather_into_tensor: "all_gather",
    gather: "gather",
    scatter: "scatter",
    all_to_all: "all_to_all",
    all_to_all_single: "all_to_all",
    barrier: "barrier",
    send_and_recv: "send",
    recv_from_anyone: "send",
}


def traced(group: Group, call: Callable[[Group], None]) -> dict[str, list[Any]]:
    """What the profiler tells of the collective: in events(), and in the trace for the browser."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        call(group)
    backend = dist.get_backend(group)

    def name_of(event_name: str) -> str | None:
        """Of events that are the backend's or c10d's, without the backend's name."""
        if event_name.startswith(f"{backend}:"):
            return event_name.removeprefix(backend)
        return event_name if event_name.startswith("c10d::") or "param_comms" in event_name else None

    events = [
        (name, event.input_shapes, event.concrete_inputs, event.is_async, event.scope, event.count)
        for event in profiler.events()
        if (name := name_of(event.name))
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        trace = json.loads(file.read_text())["traceEvents"]
    written = []
    for event in trace:
        if event["ph"] == "X" and (name := name_of(event["name"])):
            arguments = {key: value for key, value in event["args"].items() if key not in COUNTERS}
            written.append((name, event["cat"], arguments))
    averages = [
        (name, average.count, average.input_shapes)
        for average in profiler.key_averages(group_by_input_shape=True)
        if (name := name_of(average.key))
    ]
    # By name, for which thread tells first of its events is left to chance.
    return {
        "events": sorted(events, key=str),
        "trace": sorted(written, key=str),
        "averages": sorted(averages, key=str),
    }


def trace_reduce_scatter(form: str) -> list[Any]:
    assert dist.group.WORLD is not None
    return traced(dist.group.WORLD, globals()[form])["trace"]


def compare(name: str) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    return over_both(lambda group: traced(group, globals()[name]))


# The gloo of torch 2.11 has no all_to_all to compare with.
GLOO_LACKS = {all_to_all} if torch.__version__.startswith("2.11.") else set()


@pytest.mark.parametrize("call", [call.__name__ for call in SPANS if call not in GLOO_LACKS])
def test_as_over_gloo(pools: Pools, call: str) -> None:
    pairs = pools.get("1x2").run(compare, call)
    assert f":{SPANS[globals()[call]]}" in [event[0] for event in pairs[0][0]["events"]]
    for ours, theirs in pairs:
        assert ours == theirs


@pytest.mark.parametrize(
    ("form", "types", "shapes"),
    [
        ("reduce_scatter", ["double", "double"], [[3, 4], [3, 4]]),
        ("reduce_scatter_tensor", ["double"], [[6, 4]]),
    ],
)
def test_reduce_scatter(pools: Pools, form: str, types: list[str], shapes: list[list[int]]) -> None:
    for trace in pools.get("1x2").run(trace_reduce_scatter, form):
        spans = [arguments for name, _, arguments in trace if name == ":reduce_scatter"]
        assert [(each["Input type"], each["Input Dims"]) for each in spans] == [(types, shapes)]
