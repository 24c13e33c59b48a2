"""Runs a program in a fresh interpreter, as a user does, with a deadline for all of its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.places import IMPATIENT_RESOLVER, RANK_VARIABLES, SINGLE_THREAD


def run_program(arguments: Sequence[str], folder: Path, deadline: float = 60.0) -> str:
    """What `python ARGUMENTS` prints to stdout. Raises AssertionError where it fails or hangs.

    Afterwards none of the processes that it started is left, unless they left its session.
    """
    env = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    env |= SINGLE_THREAD | IMPATIENT_RESOLVER | {"GLOO_SOCKET_IFNAME": "lo"}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=env,
        cwd=folder,  # not the source tree: what is installed must do
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, complaint = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun's ranks are in sessions of their own: it ends them when it is told to
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        _end(process)
        output, complaint = process.communicate()
        raise AssertionError(f"no end after {deadline} s\n{output}\n{complaint}") from None
    finally:
        _end(process)
    assert process.returncode == 0, f"exit code {process.returncode}\n{output}\n{complaint}"
    return output


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
