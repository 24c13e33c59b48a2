"""`torch-ring` as a program: one under both of its names, and what it needs to be installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [str(Path(sysconfig.get_path("scripts")) / "torch-ring")]
MODULE = [sys.executable, "-m", "torch_ring"]

PLAN = ("plan", "--hosts", "4", "--size", "1MB", "--table")


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


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from torch_ring.cli import main; main()"
    done = run([sys.executable, "-c", code])
    assert done.returncode == 1
    assert "typer missing" in done.stderr and "pip install 'torch-ring[bench]'" in done.stderr


def test_the_page_of_settings_is_true() -> None:
    page = run(MODULE, "settings", "--markdown").stdout
    assert page == (ROOT / "docs" / "configuration.md").read_text(), "run: torch-ring settings --markdown"
