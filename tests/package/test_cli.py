"""`torch-ring` as a program: one under both of its names, and what it needs to be installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from torch_ring.cli.app import COMMANDS

SCRIPT = [str(Path(sysconfig.get_path("scripts")) / "torch-ring")]
MODULE = [sys.executable, "-m", "torch_ring"]

PLAN = ("plan", "--hosts", "4", "--size", "1MB", "--table")
BENCH = ("bench", "--sizes", "64", "--rounds", "1", "--seconds", "0.01")
BENCH_DDP = ("bench-ddp", "--layers", "1", "--width", "8", "--rounds", "1", "--steps", "1")
SETTINGS = ("settings",)
CUDA = ("cuda",)


def run(command: list[str], *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        env=os.environ | env,
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--help",), 0),
        (("bench", "--frobnicate"), 2),
        ((*PLAN, "--json", "-"), 0),
        (("settings", "--markdown"), 0),
    ],
)
def test_both_names_are_one_program(arguments: tuple[str, ...], code: int) -> None:
    script, module = run(SCRIPT, *arguments), run(MODULE, *arguments)
    assert script.returncode == module.returncode == code, script.stderr + module.stderr
    assert (script.stdout, script.stderr) == (module.stdout, module.stderr)
    said = script.stdout + script.stderr
    if code == 2 or "--help" in arguments:
        assert "Usage: torch-ring " in said
    assert said, "it says something"


@pytest.fixture
def without_matplotlib(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing it fails, for the ranks as well."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('matplotlib is blocked')\n")
    return {"PYTHONPATH": str(tmp_path)}


def test_nothing_but_drawing_needs_matplotlib(without_matplotlib: dict[str, str]) -> None:
    commands = (PLAN, BENCH, BENCH_DDP, SETTINGS, CUDA)
    names = {command.__name__.replace("_", "-") for command in COMMANDS}
    assert {arguments[0] for arguments in commands} == names, "all of them are tried"
    for arguments in commands:
        done = run(MODULE, *arguments, **without_matplotlib)
        # Where there is no GPU, one of them says so.
        assert done.returncode in ((0, 1) if arguments == CUDA else (0,)), done.stderr
        assert done.stdout and not done.stderr


@pytest.mark.parametrize("arguments", [PLAN, BENCH])
def test_who_wants_to_draw_is_told_what_to_install(
    arguments: tuple[str, ...], without_matplotlib: dict[str, str], tmp_path: Path
) -> None:
    done = run(MODULE, *arguments, "--plot", str(tmp_path / "plot.png"), **without_matplotlib)
    assert done.returncode == 2
    assert "--plot: needs matplotlib (matplotlib is blocked)" in done.stderr
    assert "pip install 'torch-ring[bench]'" in done.stderr
    assert done.stdout == "", "it is told before anything is measured"


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from torch_ring.cli import main; main()"
    done = run([sys.executable, "-c", code])
    assert done.returncode == 1
    assert "typer missing" in done.stderr and "pip install 'torch-ring[bench]'" in done.stderr


def test_cuda_tells_what_is_missing_and_where_it_looked(tmp_path: Path) -> None:
    """Here there is no GPU; a file that is no library is named with what the linker says of it."""
    text = tmp_path / "libnccl.so.2"
    text.write_text("no library\n")
    done = run(SCRIPT, *CUDA, TORCH_RING_NCCL_LIB=str(text), TORCH_RING_CUDART_LIB="/nowhere/libcudart.so")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [
        "CUDA runtime",
        "GPUs",
        "NCCL",
    ]
    assert "TORCH_RING_CUDART_LIB says is /nowhere/libcudart.so" in done.stdout
    assert f"NCCL, which TORCH_RING_NCCL_LIB says is {text}" in done.stdout
    assert "invalid ELF header" in done.stdout or "file too short" in done.stdout
