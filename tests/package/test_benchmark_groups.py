"""The benchmark `groups` really measures, in small, and its tables hold together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.groups.__main__ import app
from benchmarks.program import ROOT


def tables(text: str) -> list[list[list[str]]]:
    """The rows of each table, without the headings, as cells."""
    found: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    return [table[2:] for table in found]


def test_a_small_measurement(tmp_path: Path) -> None:
    options = [
        "--layouts",
        "2x1",
        "--groups",
        "1,3",
        "--ranks",
        "2,3",
        "--rounds",
        "1",
        "--docs",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.groups", *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    footprints, first, later = tables((tmp_path / "groups.md").read_text())
    what = ["once per process", "per group, 1 alive", "per group, 3 alive"]
    assert [row[:3] for row in footprints] == [
        ["2x1", backend, each] for backend in ("ring", "gloo") for each in what
    ]
    for _, backend, each, threads, descriptors, memory in footprints:
        if each in what[1:]:
            assert (float(threads) == 0) == (backend == "ring"), "gloo has threads for each group"
            assert 2 <= float(descriptors) < 20
        assert memory.split()[1] in ("B", "KB", "MB")
    for times in (first, later):
        assert [row[0] for row in times] == ["2", "3"]
        for _, ring, gloo, ratio in times:
            assert all(" .. " in cell and "s" in cell for cell in (ring, gloo))
            assert float(ratio) > 0


@pytest.mark.parametrize(
    ("option", "value"),
    [("--layouts", "two"), ("--layouts", ""), ("--ranks", "0"), ("--groups", "1,x"), ("--backends", "none")],
)
def test_bad_options_are_refused(option: str, value: str) -> None:
    done = CliRunner().invoke(app, [option, value])
    assert done.exit_code == 2
    assert f"{option}: '{value}'" in done.output
