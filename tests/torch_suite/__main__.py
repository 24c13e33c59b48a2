"""Runs torch's own suite over ring and gloo and compares them: `scripts/test --torch-suite`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from torch_suite.comparison import Outcome, Outcomes, compare, totals

WORKER = Path(__file__).with_name("worker.py")
_PER_TEST = 3.0  # seconds that a test takes on average, with room
_START = 120.0
# What torch tests with other backends only, and ring does too: all_to_all of CPU tensors.
_BEYOND_GLOO = ("mpi", "all_to_all")


def run_backend(
    backend: str, like: str, options: argparse.Namespace, patterns: list[str], size: int
) -> Outcomes:
    """Runs the tests that are meant for `like`; leaves no process behind."""
    with tempfile.TemporaryDirectory(prefix="torch_suite") as folder:
        report = Path(folder, "outcomes.json")
        log = Path(folder, "log")
        command = [
            sys.executable,
            str(WORKER),
            "--backend",
            backend,
            "--like",
            like,
            "--world-size",
            str(size),
        ]
        command += ["--timeout", str(options.timeout), "--shard", options.shard, "--json", str(report)]
        command += ["--patterns", *patterns]
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        # Each test ends by itself at its own timeout; this is for what hangs outside of them.
        deadline = _START + 300 * _PER_TEST + 10 * options.timeout
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            print(
                f"torch_suite: {backend} at world size {size} did not end in {deadline:.0f} s",
                file=sys.stderr,
            )
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if not report.exists():
            raise SystemExit(
                f"torch_suite: the suite did not start over {backend}:\n{log.read_text()[-4000:]}"
            )
        return {name: Outcome(**each) for name, each in json.loads(report.read_text()).items()}


def run_size(size: int, options: argparse.Namespace) -> dict[str, Outcomes]:
    """The outcomes of each backend at one world size."""
    results: dict[str, Outcomes] = {}
    for backend in options.backends:
        results[backend] = run_backend(backend, "gloo", options, options.patterns, size)
        if backend == "gloo":
            continue
        like, only = _BEYOND_GLOO
        beyond = run_backend(backend, like, options, [only], size)
        for name, outcome in beyond.items():
            if outcome.status != "skip" and (
                not options.patterns or any(p in name for p in options.patterns)
            ):
                results[backend][name] = outcome
    return results


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/test --torch-suite")
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument(
        "--world-sizes", type=numbers, default=[3], metavar="3,4,8", help="ranks (default: 3)"
    )
    parser.add_argument(
        "--backends", type=lambda text: text.split(","), default=["ring", "gloo"], metavar="ring,gloo"
    )
    parser.add_argument(
        "-k", dest="patterns", action="append", default=[], help="tests whose name contains this"
    )
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="every N-th test, from the I-th on")
    parser.add_argument("--timeout", type=int, default=120, help="seconds that one test may take")
    parser.add_argument("--json", type=Path, help="file for all outcomes")
    return parser.parse_args()


def main() -> None:
    options = parse()
    unexplained = 0
    outcomes: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for size in options.world_sizes:
        results = run_size(size, options)
        for backend, of_backend in results.items():
            print(f"world size {size}, {backend}: {totals(of_backend)}", flush=True)
        outcomes[str(size)] = {
            backend: {name: vars(each) for name, each in of_backend.items()}
            for backend, of_backend in results.items()
        }
        if {"ring", "gloo"} <= set(results):
            lines, wrong = compare(results["ring"], results["gloo"])
            print(
                "".join(f"  {line}\n" for line in lines) + "".join(f"  WRONG: {line}\n" for line in wrong),
                end="",
            )
            unexplained += len(wrong)
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=1))
    print(
        f"torch_suite: {unexplained} unexplained differences" if unexplained else "torch_suite: as expected"
    )
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
