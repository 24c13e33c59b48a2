"""What each rank of the demo does: trains one model over each backend, in turns. Started by run.py.

All models start equal and take the same steps on the same data. They take turns in blocks of steps, so that
what disturbs the machine disturbs all of them: a block of one is compared with the block of another that came
right before or after it.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import torch.distributed as dist

from text_corpus import Corpus, CorpusError, load_corpus
from train_options import fail
from trainer import Recipe, Trainer, choose_device

# Few tokens for many parameters: so communication weighs as it does in the training of large models, where
# every rank has little to compute for what it has to send.
BATCH_SIZE, BLOCK_SIZE = 2, 32
LAYERS, HEADS, WIDTH = 4, 4, 256
LEARNING_RATE = 1e-3
SEED = 1337
SAMPLE = 300  # characters


def parse_arguments() -> argparse.Namespace:
    """Of what run.py has checked already."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backends", required=True)
    parser.add_argument("--data", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--block", type=int, required=True)
    parser.add_argument("--metrics", type=Path)
    parser.add_argument("--check", action="store_true", help="check backends and data, and train nothing")
    return parser.parse_args()


def labels(backends: list[str]) -> dict[str, str]:
    """Names for the curves, with the backend of each: one that is given twice is told apart by a number."""
    named: dict[str, str] = {}
    for i, backend in enumerate(backends):
        count = Counter(backends[: i + 1])[backend]
        named[backend if count == 1 else f"{backend}-{count}"] = backend
    return named


def make_trainer(backend: str, recipe: Recipe, corpus: Corpus) -> Trainer:
    group = dist.new_group(backend=backend)
    assert isinstance(group, dist.ProcessGroup)  # every rank is in it
    return Trainer(recipe, corpus, choose_device("auto", backend), group)


def train_block(trainer: Trainer, steps: int) -> list[dict[str, float]]:
    """All ranks begin together, whatever the block before was; the metrics of each step."""
    dist.barrier()
    trainer.clock.restart()
    return [trainer.train_step()[0] for _ in range(steps)]


def told(name: str, rows: list[dict[str, float]]) -> str:
    seconds = sum(row["step_s"] for row in rows)
    tokens = sum(row["tokens_per_s"] * row["step_s"] for row in rows)
    comm = sum(row["comm_share"] * row["step_s"] for row in rows)
    return f"{name} {tokens / seconds:,.0f} tokens/s, {comm / seconds:.0%} communication"


def train_in_turns(trainers: dict[str, Trainer], steps: int, block: int) -> list[dict[str, Any]]:
    """The metrics of every step over every backend; `block` numbers the turns."""
    rows: list[dict[str, Any]] = []
    names = list(trainers)
    for number, first in enumerate(range(0, steps, block)):
        start = number % len(names)
        length = min(block, steps - first)
        of_block = {}
        for name in names[start:] + names[:start]:  # nobody is always first
            of_block[name] = train_block(trainers[name], length)
            rows += [{"backend": name, "block": number, **row} for row in of_block[name]]
        if dist.get_rank() == 0:
            loss = of_block[names[0]][-1]["loss"]
            parts = " | ".join(told(name, of_block[name]) for name in names)
            print(f"step {first + length:>{len(str(steps))}}/{steps}: loss {loss:.4f} | {parts}", flush=True)
    return rows


def main() -> None:
    args = parse_arguments()
    backends = args.backends.split(",")
    for backend in backends:
        if not dist.is_backend_available(backend):
            fail(f"no backend '{backend}' in this PyTorch: try --backends ring,gloo")
    try:
        corpus = load_corpus(args.data, BLOCK_SIZE)
    except CorpusError as error:
        fail(str(error))
    if args.check:
        return
    recipe = Recipe(BATCH_SIZE, BLOCK_SIZE, LAYERS, HEADS, WIDTH, LEARNING_RATE, args.steps, SEED)
    dist.init_process_group("gloo")  # for the ranks to meet by; each trainer has a group of its own
    try:
        trainers = {name: make_trainer(backend, recipe, corpus) for name, backend in labels(backends).items()}
        first = next(iter(trainers.values()))
        if first.rank == 0:
            parameters = sum(parameter.numel() for parameter in first.model.parameters())
            print(
                f"{parameters / 1e6:.1f} M parameters, {len(corpus.train) / 1e6:.1f} M characters, "
                f"{first.world} ranks; {', '.join(trainers)} in turns of {args.block} steps",
                flush=True,
            )
        rows = train_in_turns(trainers, args.steps, args.block)
        validation = {name: trainer.validate() for name, trainer in trainers.items()}
        if first.rank == 0:
            for row in rows:
                if row["step"] == args.steps:
                    row["val_loss"] = validation[row["backend"]]
            args.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
            print(f"sample: {first.sample(SAMPLE)}")
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
