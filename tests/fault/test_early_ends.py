"""What torchrun leaves to the ranks: one that ends before it comes, and an attempt after one that failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.places import IMPATIENT_RESOLVER, RANK_VARIABLES, SINGLE_THREAD
from harness.worker import BACKEND

# A rank. Those that are named end so many seconds after their start, with that code, in the first attempt.
PROGRAM = f"""
import json, os, sys, time
folder, attempt, rank = sys.argv[1], os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["RANK"]
for one in sys.argv[2:]:
    ends, after, code = one.split(":")
    if (rank, attempt) == (ends, "0"):
        time.sleep(float(after))
        sys.exit(int(code))
import torch.distributed as dist
start, said = time.monotonic(), ""
try:
    dist.init_process_group("{BACKEND}")
except dist.DistBackendError as error:
    said = str(error)
name = f"{{folder}}/{{rank}}.{{attempt}}"
with open(name + ".new", "w") as file:
    json.dump([said, time.monotonic() - start], file)
os.rename(name + ".new", name)
"""
# torchrun starts these, and they the ranks, with an environment of their own.
WRAPPER = """#!/bin/bash
export MASTER_ADDR=127.0.0.1
$PYTHON "$@"
echo it has ended
"""
SOON = 25.0  # seconds from the start; the group's timeout is half an hour


@contextmanager
def torchrun(folder: Path, options: Sequence[str], ends: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "program.py").write_text(PROGRAM)
    (folder / "wrapper.sh").write_text(WRAPPER)
    (folder / "wrapper.sh").chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    env |= SINGLE_THREAD | IMPATIENT_RESOLVER | {"PYTHON": sys.executable}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", *options]
    wrapper = [str(folder / "wrapper.sh")] if "--no-python" in options else []
    process = subprocess.Popen(
        [*command, *wrapper, str(folder / "program.py"), str(folder), *ends],
        env=env,
        cwd=folder,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # it ends its ranks
        process.wait(30)


def said(folder: Path, rank: int, attempt: int = 0) -> str:
    """What the rank's init_process_group() raised, if anything."""
    path = folder / f"{rank}.{attempt}"
    until = time.monotonic() + SOON
    while not path.exists():
        assert time.monotonic() < until, f"there is no {path.name}"
        time.sleep(0.02)
    text, seconds = json.loads(path.read_text())
    assert seconds < SOON
    assert isinstance(text, str)
    return text


def test_a_rank_that_ends_well_before_it_comes(tmp_path: Path) -> None:
    """Then torchrun lets the others wait. They see it end, or have never seen it."""
    seen, unseen = tmp_path / "seen", tmp_path / "unseen"
    seen.mkdir()
    unseen.mkdir()
    with (
        torchrun(seen, ["--nproc-per-node", "2"], ["1:9:0"]) as first,
        torchrun(unseen, ["--nproc-per-node", "2", "--no-python"], ["1:0:0"]) as second,
    ):
        for folder in (seen, unseen):
            text = said(folder, 0)
            assert "rank 1 (host " in text and "ended before it joined the group" in text, text
        assert first.wait(30) == second.wait(30) == 0


def test_the_attempt_after_one_that_failed(tmp_path: Path) -> None:
    """torchrun keeps its store, so what the ranks left there is found by those of the next attempt."""
    options = ["--nproc-per-node", "3", "--max-restarts", "1"]
    with torchrun(tmp_path, options, ["1:7:5"]) as process:
        assert [said(tmp_path, rank, attempt=1) for rank in range(3)] == [""] * 3
        assert process.wait(30) == 0
