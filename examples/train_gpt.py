"""Trains a small character-level GPT with DistributedDataParallel on the text of a folder.

    torchrun --standalone --nproc-per-node 2 examples/train_gpt.py --backend gloo

Without --data the text is the source of the interpreter's own standard library. The weights follow from
--seed, and the batch of each rank from the seed, the step and the rank, so runs over different backends
train on the same numbers. A run resumed from a checkpoint by as many ranks continues bit for bit.

Ctrl-C (or SIGTERM) stops all ranks after the step they are in, with a checkpoint if --checkpoint is given.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import sysconfig
import zipfile
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from gpt_model import GPTConfig
from text_corpus import CorpusError, load_corpus
from train_options import fail, parse_arguments
from train_progress import Display, Metrics
from trainer import Recipe, Trainer, choose_device

INTERRUPTED = 128 + signal.SIGINT
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a flag for the training loop; the second one kills."""

    def __init__(self) -> None:
        self.made = False
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.made = True
        die_on_signal()


def die_on_signal() -> None:
    """Lets signals end the process at once and silently, even inside a blocking call."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces the file in one go: an interruption leaves the old checkpoint or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, config: GPTConfig, vocabulary: str) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):  # the format of torch.save
        fail(f"no checkpoint at '{path}': give --checkpoint the file of an earlier run")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state.get("config") != asdict(config) or state.get("vocabulary") != vocabulary:
        fail(f"'{path}' was trained with other data or another model: give the same --data and model options")
    return state


def train(
    args: argparse.Namespace,
    trainer: Trainer,
    display: Display | None,
    metrics: Metrics | None,
    stop: StopRequest,
) -> bool:
    """Trains to the last step; false if stopped before. Only rank 0 has a display and metrics."""
    trainer.clock.restart()
    while trainer.step < args.steps:
        row, stopping = trainer.train_step(stop.made)
        last = trainer.step == args.steps
        pause = last or stopping or trainer.step % args.eval_every == 0
        if pause and args.checkpoint and trainer.rank == 0:
            save_checkpoint(args.checkpoint, trainer.state())
        if pause and not stopping:
            row["val_loss"] = trainer.validate()
        if display and metrics:
            metrics.write(row)
            display.update(row)
            if "val_loss" in row:
                display.print(f"step {trainer.step}: validation loss {row['val_loss']:.4f}")
        if stopping:
            return False
        if pause:
            trainer.clock.restart()
    return True


def main() -> int:
    die_on_signal()  # until the ranks have met there is nothing to tidy up
    args = parse_arguments()
    if args.width % args.heads:
        fail(f"--width {args.width} is not a multiple of --heads {args.heads}: change one of them")
    if args.resume and not args.checkpoint:
        fail("--resume needs the file to continue from: give --checkpoint")
    for name in args.backend.split(","):  # one backend, or one for each device as in cpu:gloo,cuda:nccl
        if not dist.is_backend_available(name.rpartition(":")[2]):
            fail(f"no backend '{name}' in this PyTorch: try --backend gloo")
    device = choose_device(args.device, args.backend)
    try:
        corpus = load_corpus(args.data or Path(sysconfig.get_path("stdlib")), args.block_size)
    except CorpusError as error:
        fail(str(error))
    recipe = Recipe(
        args.batch_size,
        args.block_size,
        args.layers,
        args.heads,
        args.width,
        args.lr,
        args.decay_steps or args.steps,
        args.seed,
    )
    state = None
    if args.resume:
        state = load_checkpoint(args.checkpoint, recipe.config(corpus), corpus.vocabulary)
    if args.check:
        return 0
    if "RANK" not in os.environ:
        fail("no ranks: start me by torchrun, as in torchrun --standalone --nproc-per-node 2 train_gpt.py")

    dist.init_process_group(args.backend)
    stop = StopRequest()
    try:
        assert dist.group.WORLD is not None
        trainer = Trainer(recipe, corpus, device, dist.group.WORLD, state)
        if trainer.rank == 0:
            parameters = sum(p.numel() for p in trainer.model.parameters())
            metrics = Metrics(args.metrics, trainer.step)
            display = Display(args.backend, trainer.step, args.steps)
            display.print(
                f"{parameters / 1e6:.1f} M parameters, {len(corpus.train) / 1e6:.1f} M characters, "
                f"{trainer.world} ranks over {args.backend} on {device.type}"
            )
            with display.live():
                finished = train(args, trainer, display, metrics, stop)
            if finished and args.sample:
                display.print(f"sample: {trainer.sample(args.sample)}")
            elif not finished:
                saved = f"; --resume continues from '{args.checkpoint}'" if args.checkpoint else ""
                display.print(f"stopped at step {trainer.step}{saved}")
        else:
            finished = train(args, trainer, None, None, stop)
    except RuntimeError:
        if not stop.made:
            raise
        finished = False  # a collective failed because the other ranks were stopped too
    finally:
        dist.destroy_process_group()
    return 0 if finished else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
