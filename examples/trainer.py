"""One rank's part of the training: model, optimizer, data, the step; for train_gpt.py and the demo.

It takes a process group, so that a program can train over several backends side by side.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from comm_clock import CommClock
from gpt_model import GPT, GPTConfig
from text_corpus import Corpus, sample_batch
from train_options import fail

VALIDATION_BATCHES = 8
BUCKET_MB = 2  # several buckets even for a small model, so that communication overlaps with backward


@dataclass(frozen=True)
class Recipe:
    """What is trained and how; equal recipes on equal data take equal steps."""

    batch_size: int  # sequences per rank and step
    block_size: int  # characters per sequence
    layers: int
    heads: int
    width: int
    lr: float  # at its peak
    decay_steps: int
    seed: int

    def config(self, corpus: Corpus) -> GPTConfig:
        return GPTConfig(len(corpus.vocabulary), self.block_size, self.layers, self.heads, self.width)


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


class Trainer:
    """The state of one rank: model, optimizer, data, and where in the run it is."""

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        device: torch.device,
        group: dist.ProcessGroup,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.recipe, self.corpus, self.device, self.group = recipe, corpus, device, group
        self.rank, self.world = dist.get_rank(group), dist.get_world_size(group)
        torch.manual_seed(recipe.seed)
        self.model = GPT(recipe.config(corpus)).to(device)
        self.optimizer = make_optimizer(self.model, recipe.lr)
        self.step = 0
        if state:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        self.ddp = DistributedDataParallel(
            self.model, process_group=group, bucket_cap_mb=BUCKET_MB, gradient_as_bucket_view=True
        )
        self.clock = CommClock(self.ddp, group, device)

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
            dist.all_reduce(sums, group=self.group)
            result: list[float] = sums.tolist()
        return result

    def loss(self, model: torch.nn.Module, part: str, batch: int) -> torch.Tensor:
        tokens = getattr(self.corpus, part)
        key = (self.recipe.seed, batch, self.rank)
        x, y = sample_batch(tokens, self.recipe.batch_size, self.recipe.block_size, key)
        logits = model(x.to(self.device))
        return F.cross_entropy(logits.flatten(0, 1), y.to(self.device).flatten())

    def train_step(self, stop: bool = False) -> tuple[dict[str, float], bool]:
        """One step: its metrics over all ranks, and whether any of them says `stop`."""
        lr = learning_rate(self.step, self.recipe.lr, self.recipe.decay_steps)
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
        sums = self.reduce(local_loss, *self.clock.lap(), float(stop))
        total_loss, comm, seconds, stops = sums
        tokens = self.world * self.recipe.batch_size * self.recipe.block_size
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
        generator = torch.Generator().manual_seed(self.recipe.seed)
        prompt = torch.ones((1, 1), dtype=torch.long, device=self.device)  # the most frequent character
        return self.corpus.decode(self.model.generate(prompt, count, generator)[0].tolist())
