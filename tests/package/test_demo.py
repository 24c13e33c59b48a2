"""scripts/demo: a small run over both backends in turns, and what is said of the curves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.demo.curves import read
from benchmarks.demo.report import TOLERANCE_PER_STEP, differences, summary, verdict

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples")]),
    "OMP_NUM_THREADS": "1",
}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    (folder / "text").write_text(
        "".join(f"{number} squared is {number * number}.\n" for number in range(500))
    )
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_both_backends_take_the_same_steps_in_turns(text: Path, tmp_path: Path) -> None:
    steps = tmp_path / "steps.jsonl"
    options = ["--backends", "ring,gloo", "--data", str(text), "--steps", "6", "--block", "2"]
    done = run(*TORCHRUN, "-m", "benchmarks.demo.rank", *options, "--metrics", str(steps))
    assert done.returncode == 0, done.stderr
    assert "ring, gloo in turns of 2 steps" in done.stdout and "sample: " in done.stdout
    rows = [json.loads(line) for line in steps.read_text().splitlines()]
    turns = [(row["block"], row["backend"]) for row in rows[::2]]
    assert turns == [(0, "ring"), (0, "gloo"), (1, "gloo"), (1, "ring"), (2, "ring"), (2, "gloo")]
    losses = {name: [row["loss"] for row in rows if row["backend"] == name] for name in ("ring", "gloo")}
    assert losses["ring"] == losses["gloo"], "two gradients have one sum"
    assert len(set(losses["ring"])) == 6
    report = run("-m", "benchmarks.demo.report", str(steps))
    assert report.returncode == 0, report.stderr
    assert "ring / it, by pairs" in report.stdout
    assert "losses agree: max relative difference 0 over 6 steps" in report.stdout
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_bad_input_ends_with_one_line(tmp_path: Path) -> None:
    for options, complaint in (
        (["--backends", "ring,pigeon"], "no backend 'pigeon'"),
        (["--backends", "ring,gloo", "--data", str(tmp_path)], "no text in"),
    ):
        done = run("-m", "benchmarks.demo.rank", "--steps", "6", "--block", "2", *options, "--check")
        assert done.returncode == 2
        assert complaint in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--backends", "ring"], "--backends needs two names"),
        (["--data", "/nonexistent"], "no folder at '/nonexistent'"),
        (["--steps", "0"], "not a whole number of at least 1"),
        (["--steps", "10", "--block", "4"], "allowed are 3 turns and more"),
        (["--steps", "10", "--block", "1"], "allowed are 3 turns and more"),
        (["--steps", "10", "--block", "5"], "allowed are 3 turns and more"),
    ],
)
def test_bad_options_are_refused_before_anything_is_set_up(options: list[str], complaint: str) -> None:
    done = run(str(ROOT / "benchmarks" / "demo" / "run.py"), *options)
    assert done.returncode == 2
    assert complaint in done.stderr and "demo: error:" in done.stderr


TURNS = 5


def written(folder: Path, seconds: dict[str, list[float]], losses: dict[str, list[float]]) -> Path:
    """As rank.py writes it: turns of three steps of 100 tokens; the first of each takes a second more."""
    rows: list[dict[str, Any]] = []
    for turn in range(TURNS):
        for name in seconds:
            for number in range(3):
                step, took = 3 * turn + number + 1, seconds[name][turn] + (number == 0)
                row = {"backend": name, "block": turn, "step": step, "loss": losses[name][step - 1]}
                row |= {"tokens_per_s": 100 / took, "comm_share": 0.25, "step_s": took}
                rows.append(row | ({"val_loss": 1.5} if step == 3 * TURNS else {}))
    file = folder / "steps.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


FALLING = [3.0 - 0.1 * step for step in range(3 * TURNS)]


def test_speed_is_compared_turn_by_turn(tmp_path: Path) -> None:
    """Each turn is twice as slow as the one before, for both; the first one does not count."""
    seconds = {"ring": [99.0, 1.0, 2.0, 4.0, 8.0], "gloo": [1.0, 1.5, 3.0, 6.0, 16.0]}
    file = written(tmp_path, seconds, {"ring": FALLING, "gloo": FALLING})
    ring, gloo = read(file)
    assert [ring.label, gloo.label] == ["ring", "gloo"]
    assert ring.tokens_per_s.tolist() == [100.0, 50.0, 25.0, 12.5]
    assert np.allclose(ring.comm_share, 0.25)
    assert "ring trains 1.50 times as fast as gloo (1.50 .. 1.62), over which 25% of a step" in summary(
        ring, gloo
    )


@pytest.mark.parametrize("wrong", [FALLING[7] * (1 + 1e-3), float("nan")])
def test_losses_that_are_apart_are_told(tmp_path: Path, wrong: float) -> None:
    other = [*FALLING[:7], wrong, *FALLING[8:]]
    seconds = {"ring": [1.0] * TURNS, "gloo": [1.0] * TURNS}
    file = written(tmp_path, seconds, {"ring": FALLING, "gloo": other})
    curves = read(file)
    agree, said = verdict(curves[0].steps, differences(curves))
    assert not agree and "DISAGREE[/] from step 8 on" in said
    assert run("-m", "benchmarks.demo.report", str(file)).returncode == 1


def test_what_rounding_may_do_is_no_disagreement(tmp_path: Path) -> None:
    other = [loss * (1 + 0.9 * TOLERANCE_PER_STEP * (i + 1)) for i, loss in enumerate(FALLING)]
    seconds = {"ring": [1.0] * TURNS, "gloo": [1.0] * TURNS}
    curves = read(written(tmp_path, seconds, {"ring": FALLING, "gloo": other}))
    assert verdict(curves[0].steps, differences(curves))[0]


def test_the_example_continues_bit_for_bit(text: Path, tmp_path: Path) -> None:
    """examples/train_gpt.py, which the demo shares its parts with: stopped and resumed as if it never was."""
    shape = ["--layers", "1", "--heads", "2", "--width", "16", "--batch-size", "2", "--block-size", "16"]
    train = [
        *TORCHRUN,
        str(ROOT / "examples" / "train_gpt.py"),
        "--backend",
        "ring",
        "--data",
        str(text),
        *shape,
    ]
    train += ["--decay-steps", "4", "--sample", "0"]
    losses = []
    for name, parts in (("whole", [4]), ("resumed", [2, 4])):
        metrics = tmp_path / f"{name}.jsonl"
        files = ["--checkpoint", str(tmp_path / name), "--metrics", str(metrics)]
        for i, steps in enumerate(parts):
            done = run(*train, *files, "--steps", str(steps), *(["--resume"] if i else []))
            assert done.returncode == 0, done.stderr
        losses.append([json.loads(line)["loss"] for line in metrics.read_text().splitlines()])
    assert len(losses[0]) == 4 and losses[0] == losses[1]
