"""Trains a small character-level GPT with DistributedDataParallel on the text of a folder.

    torchrun --standalone --nproc-per-node 2 examples/train_gpt.py --backend gloo

Without --data the text is the source of the interpreter's own standard library. The weights follow from
--seed, and the batch of each rank from the seed, the step and the rank, so runs over different backends
train on the same numbers. A run resumed from a checkpoint by as many ranks continues bit for bit.

Ctrl-C (or SIGTERM) stops all ranks after the step they are in, with a checkpoint if --checkpoint is given.
"""

from __future__ import annotations

import argparse
import math
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
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from comm_clock import CommClock
from gpt_model import GPT, GPTConfig
from text_corpus import Corpus, CorpusError, load_corpus, sample_batch
from train_options import fail, parse_arguments
from train_progress import Display, Metrics

VALIDATION_BATCHES = 8
BUCKET_MB = 2  # several buckets even for a small model, so that communication overlaps with backward
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


def choose_device(name: str, backend: str) -> torch.device:
    if name == "auto":
        name = "cuda" if "nccl" in backend and torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    if name != "cpu":
        fail(f"no device '{name}' here: give --device cpu")
    return torch.device("cpu")


def learning_rate(step: int, peak: float, total: int) -> float:
    """Linear warm-up, then a cosine down to a tenth of the peak."""
    warmup = max(1, min(20, total // 10))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def make_optimizer(model: GPT, lr: float) -> torch.optim.AdamW:
    """Weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)


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


class Trainer:
    """The state of one rank: model, optimizer, data, and where in the run it is."""

    def __init__(
        self, args: argparse.Namespace, corpus: Corpus, device: torch.device, state: dict[str, Any] | None
    ) -> None:
        self.args, self.corpus, self.device = args, corpus, device
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        torch.manual_seed(args.seed)
        self.model = GPT(model_config(args, corpus)).to(device)
        self.optimizer = make_optimizer(self.model, args.lr)
        self.step = 0
        if state:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        self.ddp = DistributedDataParallel(self.model, bucket_cap_mb=BUCKET_MB, gradient_as_bucket_view=True)
        self.clock = CommClock(self.ddp, device)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs. Batches follow from the step: there is no generator to save."""
        return {
            "config": asdict(self.model.config),
            "vocabulary": self.corpus.vocabulary,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def reduce(self, *values: float) -> list[float]:
        """Sums of the values over the ranks."""
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        with self.clock.waiting():
            dist.all_reduce(sums)
            result: list[float] = sums.tolist()
        return result

    def loss(self, model: torch.nn.Module, part: str, batch: int) -> torch.Tensor:
        tokens = getattr(self.corpus, part)
        key = (self.args.seed, batch, self.rank)
        x, y = sample_batch(tokens, self.args.batch_size, self.args.block_size, key)
        logits = model(x.to(self.device))
        return F.cross_entropy(logits.flatten(0, 1), y.to(self.device).flatten())

    def train_step(self, stop: StopRequest) -> tuple[dict[str, float], bool]:
        """One step: its metrics over all ranks, and whether any rank has been asked to stop."""
        lr = learning_rate(self.step, self.args.lr, self.args.decay_steps or self.args.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        loss = self.loss(self.ddp, "train", self.step)
        loss.backward()  # type: ignore[no-untyped-call]
        self.clock.backward_returned()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        local_loss = loss.item()
        sums = self.reduce(local_loss, *self.clock.lap(), float(stop.made))
        total_loss, comm, seconds, stops = sums
        tokens = self.world * self.args.batch_size * self.args.block_size
        row = {
            "step": self.step,
            "loss": total_loss / self.world,
            "tokens_per_s": tokens * self.world / seconds,
            "comm_share": comm / seconds,
            "step_s": seconds / self.world,
        }
        return row, stops > 0

    @torch.no_grad()
    def validate(self) -> float:
        """Mean loss over the same held-out batches each time."""
        losses = [self.loss(self.model, "validation", batch).item() for batch in range(VALIDATION_BATCHES)]
        return self.reduce(sum(losses))[0] / (VALIDATION_BATCHES * self.world)

    def sample(self, count: int) -> str:
        generator = torch.Generator().manual_seed(self.args.seed)
        prompt = torch.ones((1, 1), dtype=torch.long, device=self.device)  # the most frequent character
        return self.corpus.decode(self.model.generate(prompt, count, generator)[0].tolist())


def model_config(args: argparse.Namespace, corpus: Corpus) -> GPTConfig:
    return GPTConfig(len(corpus.vocabulary), args.block_size, args.layers, args.heads, args.width)


def train(trainer: Trainer, display: Display | None, metrics: Metrics | None, stop: StopRequest) -> bool:
    """Trains to the last step; false if stopped before. Only rank 0 has a display and metrics."""
    args = trainer.args
    trainer.clock.restart()
    while trainer.step < args.steps:
        row, stopping = trainer.train_step(stop)
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
    state = None
    if args.resume:
        state = load_checkpoint(args.checkpoint, model_config(args, corpus), corpus.vocabulary)
    if args.check:
        return 0
    if "RANK" not in os.environ:
        fail("no ranks: start me by torchrun, as in torchrun --standalone --nproc-per-node 2 train_gpt.py")

    dist.init_process_group(args.backend)
    stop = StopRequest()
    try:
        trainer = Trainer(args, corpus, device, state)
        if trainer.rank == 0:
            parameters = sum(p.numel() for p in trainer.model.parameters())
            metrics = Metrics(args.metrics, trainer.step)
            display = Display(args.backend, trainer.step, args.steps)
            display.print(
                f"{parameters / 1e6:.1f} M parameters, {len(corpus.train) / 1e6:.1f} M characters, "
                f"{trainer.world} ranks over {args.backend} on {device.type}"
            )
            with display.live():
                finished = train(trainer, display, metrics, stop)
            if finished and args.sample:
                display.print(f"sample: {trainer.sample(args.sample)}")
            elif not finished:
                saved = f"; --resume continues from '{args.checkpoint}'" if args.checkpoint else ""
                display.print(f"stopped at step {trainer.step}{saved}")
        else:
            finished = train(trainer, None, None, stop)
    except RuntimeError:
        if not stop.made:
            raise
        finished = False  # a collective failed because the other ranks were stopped too
    finally:
        dist.destroy_process_group()
    return 0 if finished else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
