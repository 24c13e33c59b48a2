"""What scripts/demo does: set up, have ranks train over the backends in turns, compare.

Runs on the system's Python and needs nothing but its standard library, because the virtual environment may
not exist yet; ranks and report are processes of the virtual environment.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parents[2]
PYTHON = str(ROOT / ".venv" / "bin" / "python")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 128 + signal.SIGINT
LOG_TAIL = 12  # lines


def fail(message: str, code: int = 2) -> NoReturn:
    print(f"demo: error: {message}", file=sys.stderr)
    sys.exit(code)


class ArgumentParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(f"{message} (see scripts/demo --help)")


def positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(
        prog="scripts/demo",
        description="Trains a small character-level GPT with DDP over each backend, the same steps on the "
        "same text, in turns of a few steps within one run. Compares the speed turn by turn, the share of "
        "communication, and the loss curves, which must agree within float rounding. The first call builds "
        "the project into .venv.",
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="folder of text (source of Python's standard library)")
    add("--steps", type=positive, default=400, metavar="N", help="training steps per backend (%(default)s)")
    add("--block", type=positive, default=10, metavar="N", help="steps of a turn (%(default)s)")
    add("--ranks", type=positive, default=2, metavar="N", help="processes to train with (%(default)s)")
    add("--out", type=Path, default=ROOT / "demo-out", metavar="DIR", help="folder for results (demo-out)")
    add("--backends", default="ring,gloo", metavar="A,B", help="backends to compare (%(default)s)")
    args = parser.parse_args()
    if args.data and not args.data.is_dir():
        parser.error(f"no folder at '{args.data}': give --data a folder of text files")
    backends = [name.strip() for name in args.backends.split(",")]
    if len(backends) < 2 or not all(backends):
        parser.error("--backends needs two names or more, such as ring,gloo")
    if args.block < 2 or args.steps % args.block or args.steps < 3 * args.block:
        parser.error(
            f"--steps {args.steps} in turns of --block {args.block}: allowed are 3 turns and more, each "
            "of as many steps, 2 or more"
        )
    args.backends = ",".join(backends)
    return args


def run(command: list[str], stderr: IO[str] | None = None) -> int:
    """Runs a command to its end and returns its exit code; if interrupted, ends it first.

    A terminal sends Ctrl-C to all processes in the foreground. The session keeps it from the command, so that
    torchrun gets one signal, however often the key is hit, and has the time to end its ranks in order.
    """
    process = subprocess.Popen(command, stderr=stderr, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        process.terminate()
        process.wait()
        raise


def train(args: argparse.Namespace, rank: list[str], metrics: Path) -> None:
    """Trains over all backends, by torchrun."""
    log = args.out / "train.log"
    launch = [PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(args.ranks)]
    with log.open("w") as stderr:
        code = run([*launch, *rank, "--metrics", str(metrics)], stderr)
    if code:
        lines = log.read_text(errors="replace").splitlines()
        said = [line for line in lines if line.startswith("[rank")] or lines
        fail("\n".join([f"training failed, see {log}:", *said[-LOG_TAIL:]]), code=1)


def demo(args: argparse.Namespace) -> int:
    subprocess.run([str(ROOT / "scripts" / "setup"), "demo"], check=True)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot write to '{args.out}': {error.strerror}; give --out another folder")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    # Otherwise each rank starts a thread per core, and torchrun says so.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // args.ranks)))
    rank = ["-m", "benchmarks.demo.rank", "--backends", args.backends]
    rank += ["--steps", str(args.steps), "--block", str(args.block)]
    if args.data:
        rank += ["--data", str(args.data)]
    # Bad input ends the demo here, with one line.
    code = run([PYTHON, *rank, "--check"])
    if code:
        return code
    metrics = args.out / "steps.jsonl"
    train(args, rank, metrics)
    return run([PYTHON, "-m", "benchmarks.demo.report", str(metrics)])


def main() -> int:
    args = parse_arguments()
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        return demo(args)
    except subprocess.CalledProcessError as error:
        fail(f"scripts/setup failed (exit code {error.returncode})", code=1)
    except KeyboardInterrupt:
        print("demo: stopped")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
