"""`scripts/test --torch-suite`: real runs of a few of torch's own tests, and how it judges them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from torch_suite.comparison import EXCEPTIONS, Outcome, Outcomes, compare, totals

TESTS = Path(__file__).resolve().parents[1]


def outcomes(**status: str) -> Outcomes:
    return {name: Outcome(each, 1.0, f"line\nValueError: {name} {each}") for name, each in status.items()}


@pytest.mark.parametrize(
    ("ring", "gloo", "wrong"),
    [
        ("pass", "pass", ""),
        ("pass", "skip", ""),
        ("skip", "skip", ""),
        ("fail", "pass", "ValueError: test_x fail"),
        ("fail", "fail", "ValueError: test_x fail"),
        ("skip", "pass", "ValueError: test_x skip"),
    ],
)
def test_what_is_wrong(ring: str, gloo: str, wrong: str) -> None:
    lines, unexplained = compare(outcomes(test_x=ring), outcomes(test_x=gloo))
    assert len(lines) == (1 if ring != gloo and not wrong else 0)
    assert [wrong in line for line in unexplained] == ([True] if wrong else [])


def test_a_test_that_was_not_run_is_wrong() -> None:
    assert compare({}, outcomes(test_x="pass"))[1] == ["test_x: ring absent, gloo pass; it was not run"]


def test_exceptions_are_explained_until_they_pass() -> None:
    name, reason = next(iter(EXCEPTIONS.items()))
    lines, unexplained = compare(outcomes(**{name: "fail"}), outcomes(**{name: "pass"}))
    assert unexplained == [] and reason in lines[0]
    assert "take it off" in compare(outcomes(**{name: "pass"}), outcomes(**{name: "pass"}))[1][0]


def test_totals() -> None:
    assert totals(outcomes(a="pass", b="pass", c="skip")) == "2 pass, 0 fail, 1 skip, 3 s"


def test_a_real_run(tmp_path: Path) -> None:
    report = tmp_path / "outcomes.json"
    command = [
        sys.executable,
        "-m",
        "torch_suite",
        "-k",
        "test_gather_full_group",
        "-k",
        "test_all_to_all_single_equal_split_full_group",
    ]
    done = subprocess.run(
        [*command, "--json", str(report)],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(report.read_text())["3"]
    gather = "test_gather_full_group"
    assert results["ring"][gather]["status"] == results["gloo"][gather]["status"] == "pass"
    equal = "test_all_to_all_single_equal_split_full_group"
    assert results["ring"][equal]["status"] == "pass" and results["gloo"][equal]["status"] == "skip"
