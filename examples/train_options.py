"""The command line of train_gpt.py, and how bad input ends it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NoReturn


def fail(message: str) -> NoReturn:
    """Ends all ranks with a message of one line. To be called before the ranks meet, on each of them."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(10)  # the launcher ends all ranks when one has failed: let rank 0 speak first
        sys.exit(2)
    print(f"train_gpt.py: error: {message}", file=sys.stderr)
    sys.exit(2)


class ArgumentParser(argparse.ArgumentParser):
    """Reports a bad option once, not once per rank."""

    def error(self, message: str) -> NoReturn:
        fail(message)


def natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


def positive(text: str) -> int:
    if not natural(text):
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(
        description="Trains a small character-level GPT with DistributedDataParallel; to be run by torchrun."
    )

    def add_number(name: str, default: int, help: str) -> None:
        parser.add_argument(name, type=positive, default=default, metavar="N", help=f"{help} ({default})")

    add = parser.add_argument
    add("--backend", default="gloo", help="communication backend of torch.distributed (gloo)")
    add("--device", default="auto", help="cpu, cuda, or auto: cuda for nccl where there is one, else cpu")
    add("--data", type=Path, metavar="DIR", help="folder of text (the standard library's source)")
    add_number("--steps", 300, "train up to this step")
    add("--decay-steps", type=positive, metavar="N", help="steps the learning rate decays over (--steps)")
    add_number("--batch-size", 16, "sequences per rank and step")
    add_number("--block-size", 64, "characters per sequence")
    add_number("--layers", 4, "transformer layers")
    add_number("--heads", 4, "attention heads per layer")
    add_number("--width", 192, "width of the model")
    add("--lr", type=float, default=1e-3, help="peak learning rate (%(default)s)")
    add("--seed", type=natural, default=1337, metavar="N", help="seed of weights and batches (%(default)s)")
    add_number("--eval-every", 100, "steps from one validation (and checkpoint) to the next")
    add("--checkpoint", type=Path, metavar="FILE", help="where to save the training state")
    add("--resume", action="store_true", help="continue from the file of --checkpoint")
    add("--metrics", type=Path, metavar="FILE", help="where to write one JSON object per step")
    add("--sample", type=natural, default=300, metavar="N", help="characters to generate at the end (300)")
    add("--check", action="store_true", help="check the options and the data, and train nothing")
    return parser.parse_args()
