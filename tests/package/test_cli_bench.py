"""`torch-ring bench` and `bench-ddp`: what they measure, write, refuse, and how they end when a rank dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore
from typer.testing import CliRunner

from harness import Pools
from torch_ring.cli import launch
from torch_ring.cli.app import app
from torch_ring.cli.bench.collectives import NAMES, Case
from torch_ring.cli.core import core
from torch_ring.cli.options import dtype

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ("--rounds", "2", "--seconds", "0.01")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "torch_ring", *arguments]


def environment(**more: str) -> dict[str, str]:
    """Without what another launcher may have left."""
    ours = set(launch.rank_env(0, 1, 0, 1)) | {"MASTER_ADDR", "MASTER_PORT"}
    return {name: value for name, value in os.environ.items() if name not in ours} | more


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(),
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """What a run prints, its JSON, and the folder of its curves."""
    folder = tmp_path_factory.mktemp("bench")
    done = run(
        *("bench", "--ranks", "2", "--collective", ",".join(NAMES)),
        *("--sizes", "4,1M", "--dtype", "bfloat16", "--limit-gbit", "10", *SMALL),
        *("--json", str(folder / "new" / "bench.json"), "--plot", str(folder / "plots")),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "new" / "bench.json").read_text()), folder / "plots"


def test_every_collective_and_size_is_measured_over_every_backend(
    measured: tuple[str, dict[str, Any], Path],
) -> None:
    _, report, _ = measured
    rows = [(row["collective"], row["bytes"], row["backend"]) for row in report["rows"]]
    assert len(rows) == len(set(rows)) == ((len(NAMES) - 1) * 2 + 1) * 2  # a barrier has no sizes
    assert {row["backend"] for row in report["rows"]} == {"ring", "gloo"}
    assert report["conditions"]["ranks"] == 2 and report["conditions"]["hosts"] == 1
    assert report["dtype"] == "bfloat16"
    for name in ("processor", "cores", "memory", "kernel", "torch", "congestion control"):
        assert report["conditions"]["system"][name]


def wrong_by_dtype() -> dict[str, int]:
    """How many elements are wrong, of every dtype and collective that the command offers."""
    wrong = {}
    group = dist.distributed_c10d._get_default_group()
    for name in core().dtypes():
        for collective in NAMES:
            case = Case(collective, 999, dtype(name), torch.device("cpu"))
            wrong[f"{collective} {name}"] = case.wrong(group)
    return wrong


def test_every_dtype_that_libring_knows_can_be_measured(pools: Pools) -> None:
    for found in pools.get("1x2").run(wrong_by_dtype):
        assert len(found) == len(core().dtypes()) * len(NAMES)
        assert not any(found.values()), found


def test_figures_are_consistent(measured: tuple[str, dict[str, Any], Path]) -> None:
    for row in measured[1]["rows"]:
        assert 0 < row["p10_us"] <= row["median_us"] <= row["p90_us"]
        assert row["mean_us"] >= max(0.9 * row["p10_us"], 0.5 * row["median_us"])
        assert len(row["round_medians_us"]) == 2
        assert row["calls"] >= 2
        assert (row["cpu_s_per_gb"] is not None) == (row["bytes"] >= 1 << 20)
    pairs = zip(measured[1]["rows"][::2], measured[1]["rows"][1::2], strict=True)
    for ring, gloo in pairs:
        assert ring["time_over_first"] == 1
        assert gloo["time_over_first"] == pytest.approx(gloo["median_us"] / ring["median_us"])
    row = next(row for row in measured[1]["rows"] if row["bytes"] == 1 << 20)
    assert row["busbw_gb_s"] == pytest.approx(2**20 / row["median_us"] / 1e3), (
        "2 (n - 1) / n is 1 for 2 ranks"
    )


def test_the_table_is_for_reading(measured: tuple[str, dict[str, Any], Path]) -> None:
    output, _, folder = measured
    for expected in (
        "ring",
        "gloo",
        "4 B",
        "1 MiB",
        "all_reduce",
        "barrier",
        "mean",
        "of limit",
        "2 ranks on one",
    ):
        assert expected in output
    assert str(folder / "all_reduce-busbw.png") in output


def test_the_curves_are_drawn(measured: tuple[str, dict[str, Any], Path]) -> None:
    names = {path.name for path in measured[2].iterdir()}
    moving = [name for name in NAMES if name != "barrier"]
    assert names == {f"{name}-{kind}.png" for name in moving for kind in ("busbw", "latency")}
    assert all(path.read_bytes().startswith(PNG) for path in measured[2].iterdir())


def test_under_a_launcher_it_joins(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python")
    done = subprocess.run(
        [sys.executable, *launcher, *command("bench", "--sizes", "64", *SMALL, "--json", "bench.json")],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("all_reduce, float32, 2 ranks") == 1, "one rank speaks for all"
    assert json.loads((tmp_path / "bench.json").read_text())["conditions"]["ranks"] == 2


def test_a_killed_rank_ends_the_run() -> None:
    runner = subprocess.Popen(
        command("bench", "--ranks", "2", "--sizes", "4K", "--rounds", "1000", "--seconds", "1"),
        env=environment(),
        cwd=tempfile.gettempdir(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        victim = wait_for_rank(runner, rank=1)
        os.kill(victim, signal.SIGKILL)
        _, complaint = runner.communicate(timeout=20)
    finally:
        runner.kill()
    assert runner.returncode == 1
    assert "rank 1 was killed by SIGKILL" in complaint


# torch's backend "fake" does nothing, which is not what the collectives are to do.
FAKE = """
import torch.testing._internal.distributed.fake_pg  # registers it
from torch_ring.cli import options
options.backends = lambda *_: ["ring", "fake"]
from torch_ring.cli.app import app
app(["bench", "--sizes", "4K"])
"""


def test_a_wrong_result_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "GLOO_SOCKET_IFNAME": "lo"}
    where["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    rank_env = [launch.rank_env(rank, 2, rank, 2) for rank in range(2)]
    code = launch.run([launch.Command([sys.executable, "-c", FAKE], where | env) for env in rank_env])
    assert code == 1
    complaint = capfd.readouterr().err
    assert "all_reduce of 4096 bytes over fake: " in complaint and "wrong elements, on rank 0, 1" in complaint


def wait_for_rank(runner: subprocess.Popen[str], rank: int) -> int:
    """The process of a rank, as soon as it shares memory with its peers."""
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert runner.poll() is None, "the run has ended early"
        for pid in children.read_text().split():
            is_it = f"\0RANK={rank}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
            if is_it and "memfd:torch_ring" in Path(f"/proc/{pid}/maps").read_text():
                return int(pid)
        time.sleep(0.05)
    raise AssertionError(f"rank {rank} does not start")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("bench", "--backends", "ring,carrier-pigeon"), "--backends: 'carrier-pigeon': allowed are"),
        (("bench", "--backends", "ring,mpi"), "--backends: 'mpi': torch"),
        (("bench", "--backends", "ring,ring"), "names one twice"),
        (("bench", "--collective", "all_to_none"), "--collective: 'all_to_none': allowed are all_reduce"),
        (("bench", "--sizes", "4,many"), "--sizes: 'many': allowed are sizes such as"),
        (("bench", "--sizes", "0"), "--sizes: '0'"),
        (("bench", "--dtype", "float33"), "--dtype: 'float33': allowed are"),
        (("bench", "--json", "/proc/none/bench.json"), "--json: cannot make the folder '/proc/none'"),
        (("bench", "--rounds", "0"), "--rounds"),
        (("bench-ddp", "--width", "100"), "--width: 100 is not a multiple of 8"),
        (("bench", "--frobnicate"), "--frobnicate"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[str, ...], complaint: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert complaint in done.output


def test_ranks_are_the_launchers_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    done = CliRunner().invoke(app, ["bench", "--ranks", "3"])
    assert done.exit_code == 2
    assert "--ranks: 3, but WORLD_SIZE=4" in done.output


def test_ddp_takes_the_same_steps_over_each_backend(tmp_path: Path) -> None:
    small = (
        "--layers",
        "2",
        "--width",
        "64",
        "--batch",
        "2",
        "--tokens",
        "8",
        "--rounds",
        "2",
        "--steps",
        "3",
    )
    done = run("bench-ddp", *small, "--simulate", "20", "--json", str(tmp_path / "ddp.json"))
    assert done.returncode == 0, done.stderr
    assert "simulated computation: each rank sleeps 20 ms per step" in done.stdout
    report = json.loads((tmp_path / "ddp.json").read_text())
    assert [row["backend"] for row in report["rows"]] == ["ring", "gloo"]
    for row in report["rows"]:
        assert row["loss_difference"] == 0, "two gradients have one sum"
        assert row["median_ms"] > row["compute_ms"] * 0.5 and row["compute_ms"] >= 20
        assert row["exposed"] == pytest.approx(1 - row["compute_ms"] / row["median_ms"])
