"""torch_ring.Options: what a group is told differs from what the process is told, and is checked like it."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Backend

import torch_ring
from harness import Job, Pools
from torch_ring._backend import load

ROOT = Path(__file__).resolve().parents[2]


def group_of_its_own() -> dict[str, object]:
    """A flat ring with a chunk of its own beside the default group; and it must add up."""
    options = torch_ring.Options(algorithm="flat", chunk_bytes=8192, spin_us=0)
    group = dist.new_group(backend="ring", pg_options=options, timeout=timedelta(seconds=17))
    options.chunk_bytes = 4096  # the group has a copy
    tensor = torch.ones(100_000)
    dist.all_reduce(tensor, group=group)
    assert int(tensor[-1]) == dist.get_world_size()
    assert isinstance(group, dist.ProcessGroup)
    backend = group._get_backend(torch.device("cpu"))
    assert isinstance(backend, load().RingBackend)
    taken = backend.options
    default = dist.group.WORLD
    assert default is not None
    assert default._get_backend(torch.device("cpu")).options.algorithm == "hierarchical"  # type: ignore[attr-defined]
    dist.destroy_process_group(group)
    return {"algorithm": taken.algorithm, "chunk": taken.chunk_bytes, "seconds": taken._timeout.seconds}


def group_of_different_minds() -> None:
    options = torch_ring.Options(chunk_bytes=4096 * (1 + dist.get_rank()))
    dist.new_group(backend="ring", pg_options=options)


def group_of_other_options() -> None:
    dist.new_group(backend="ring", pg_options=Backend.Options("gloo", timedelta(seconds=9)))


@pytest.mark.parametrize("layout", ["1x2", "2x1", "2+1"])
def test_a_group_has_its_own(pools: Pools, layout: str) -> None:
    expected = {"algorithm": "flat", "chunk": 8192, "seconds": 17}
    assert pools.get(layout).run(group_of_its_own) == [expected] * pools.get(layout).layout.world_size


def test_ranks_must_agree(launch: Callable[..., Job]) -> None:
    outcomes = launch("2+1").init().outcomes(group_of_different_minds)
    for outcome in outcomes.values():
        assert outcome.error and outcome.error.is_a("RingConfigError")
        for part in ("TORCH_RING_CHUNK_BYTES='4096'", "TORCH_RING_CHUNK_BYTES='8192'", "rank 1", "rank 0"):
            assert part in outcome.error.message


def take_options(options: torch_ring.Options) -> int | None:
    return options.chunk_bytes


def test_they_can_be_sent_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As mp.spawn does; what the environment says there changes nothing."""
    monkeypatch.setenv("TORCH_RING_CHUNK_BYTES", "16384")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        taken = pool.apply_async(take_options, (torch_ring.Options(chunk_bytes=8192),))
        assert taken.get(timeout=60) == 8192
        taken = pool.apply_async(take_options, (torch_ring.Options(chunk_bytes=None),))
        assert taken.get(timeout=60) is None


def test_options_of_others_are_refused(launch: Callable[..., Job]) -> None:
    for outcome in launch("1x2").init().outcomes(group_of_other_options).values():
        assert outcome.error and outcome.error.is_a("TypeError")
        assert "torch_ring.Options" in outcome.error.message


def test_values_are_checked() -> None:
    options = torch_ring.Options()
    for field, wrong, error in (
        ("chunk_bytes", 12, "4096 .. 16777216"),
        ("chunk_bytes", "65536", "takes int or None"),
        ("algorithm", "tree", "hierarchical, flat"),
        ("algorithm", 3, "takes str or None"),
        ("streams", 17, "1 .. 16"),
    ):
        before = getattr(options, field)
        with pytest.raises((torch_ring.RingConfigError, TypeError), match=error):
            setattr(options, field, wrong)
        assert getattr(options, field) == before
    with pytest.raises(TypeError, match="no setting 'chunk'"):
        torch_ring.Options(chunk=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        options.chunk = 1  # type: ignore[attr-defined]


def test_none_is_the_default_and_copies_are_apart() -> None:
    options = torch_ring.Options(chunk_bytes=8192, streams=4)
    options._timeout = timedelta(seconds=17)
    pickled = pickle.loads(pickle.dumps(options))
    assert pickled._timeout == timedelta(seconds=17) and pickled.algorithm == options.algorithm
    for copied in (copy.copy(options), copy.deepcopy(options), pickled):
        assert copied.chunk_bytes == 8192
        copied.chunk_bytes = None
        assert copied.chunk_bytes is None and copied.streams == 4
    assert options.chunk_bytes == 8192
    options.streams = None
    assert options.streams == 1


def test_the_environment_gives_the_defaults() -> None:
    program = "import torch_ring; print(torch_ring.Options().chunk_bytes, torch_ring.Options().spin_us)"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env={"TORCH_RING_CHUNK_BYTES": "16384", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.stdout == "16384 50\n", shown.stderr


def test_each_parameter_is_declared_once_and_documented() -> None:
    """The stub for type checkers and the page for people say what the table says."""
    parameters = load().parameters()
    stub = (ROOT / "torch_ring" / "_C.pyi").read_text()
    for parameter in parameters:
        declared = f"    {parameter.field}: {parameter.type} | None\n"
        assert (declared in stub) == parameter.per_group, declared
        assert hasattr(torch_ring.Options(), parameter.field) == parameter.per_group
    page = subprocess.run(
        [sys.executable, "-m", "torch_ring", "settings", "--markdown"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert page.stdout == (ROOT / "docs" / "configuration.md").read_text()
