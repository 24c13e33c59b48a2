"""What each rank of `torch-ring bench-ddp` does: trains over the backends in turns, and times the steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from torch_ring.cli.bench_ddp.model import encoder, sleeper, trained
from torch_ring.cli.groups import Groups, WrongResultError
from torch_ring.cli.sample import Sample, rotated

_WARM_STEPS = 2  # DDP settles its buckets after the first one
_LEARNING_RATE = 0.01
_BATCHES = 4  # made in advance, and used in turn
# Backends may add in different orders, which moves a sum by epsilons; a wrong gradient moves it more.
_LOSS_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Training:
    """What is trained, and how it is measured; alike on all ranks."""

    layers: int
    width: int
    batch: int  # sequences per rank
    tokens: int  # per sequence
    rounds: int
    steps: int  # of a turn: so many with communication, so many without
    simulate_ms: float | None  # slept per step instead of computing


@dataclass(frozen=True)
class DdpRow:
    """One backend. Times are of one step: this statistic on each rank, then the slowest rank's."""

    backend: str
    p10_ms: float
    median_ms: float
    p90_ms: float
    compute_ms: float  # median of the steps under no_sync()
    exposed: float  # (median - compute) / median: communication that computation does not hide
    cpu_s: float  # user and system time of all ranks per step
    last_loss: float  # of rank 0, of the last step
    loss_difference: float  # to the first backend's losses: the largest relative one of any step


class _Trainer:
    """One backend's copy of the model. Same seed, same data: all of them take the same steps."""

    def __init__(self, groups: Groups, backend: str, training: Training) -> None:
        device = groups.device(backend)
        torch.manual_seed(1)
        if training.simulate_ms is None:
            model = encoder(training.layers, training.width)
        else:
            model = sleeper(training.layers, training.width, training.simulate_ms / 1e3)
        self._model = DistributedDataParallel(model.to(device), process_group=groups.measured[backend])
        self._optimizer = torch.optim.SGD(trained(model), lr=_LEARNING_RATE)
        torch.manual_seed(2 + groups.rank)
        shape = (_BATCHES, training.batch, training.tokens, training.width)
        self._inputs, self._targets = torch.randn(shape).to(device), torch.randn(shape).to(device)
        self.losses: list[float] = []

    def step(self) -> None:
        self.losses.append(self._step())

    def step_alone(self) -> None:
        """A step without its communication. It leaves the parameters as they are."""
        self._optimizer.param_groups[0]["lr"] = 0.0
        with self._model.no_sync():
            self._step()
        self._optimizer.param_groups[0]["lr"] = _LEARNING_RATE

    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._model.parameters())

    def fingerprint(self) -> list[float]:
        """Equal on ranks whose parameters are equal."""
        return [float(parameter.detach().double().sum()) for parameter in self._model.parameters()]

    def _step(self) -> float:
        batch = len(self.losses) % _BATCHES
        self._optimizer.zero_grad()
        loss = F.mse_loss(self._model(self._inputs[batch]), self._targets[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return loss.item()


def measure(groups: Groups, training: Training) -> tuple[int, list[DdpRow]]:
    """Trains; returns the number of parameters, and a row for each backend.

    Raises WrongResultError, on all ranks, where the ranks' parameters or the backends' losses disagree.
    """
    trainers = {backend: _Trainer(groups, backend, training) for backend in groups.measured}
    steps = {backend: Sample() for backend in trainers}
    steps_alone = {backend: Sample() for backend in trainers}
    for trainer in trainers.values():
        for _ in range(_WARM_STEPS):
            trainer.step()
        trainer.step_alone()
    for number in range(training.rounds):
        for backend in rotated(list(trainers), number):
            groups.meet()
            steps[backend].take(training.steps, trainers[backend].step)
            groups.meet()
            steps_alone[backend].take(training.steps, trainers[backend].step_alone)
    first = next(iter(trainers.values()))
    rows = []
    for backend, trainer in trainers.items():
        together, alone = steps[backend].combine(groups), steps_alone[backend].combine(groups)
        difference = _loss_difference(groups, backend, trainer, first)
        rows.append(
            DdpRow(
                backend=backend,
                p10_ms=1e3 * together.p10,
                median_ms=1e3 * together.median,
                p90_ms=1e3 * together.p90,
                compute_ms=1e3 * alone.median,
                exposed=1 - alone.median / together.median,
                cpu_s=together.cpu,
                last_loss=trainer.losses[-1],
                loss_difference=difference,
            )
        )
    return first.parameters(), rows


def _loss_difference(groups: Groups, backend: str, trainer: _Trainer, first: _Trainer) -> float:
    prints = groups.gather(trainer.fingerprint())
    if any(each != prints[0] for each in prints):
        raise WrongResultError(f"over {backend} the ranks' parameters became different")
    pairs = zip(trainer.losses, first.losses, strict=True)
    mine = max(abs(loss - reference) / abs(reference) for loss, reference in pairs)
    difference = max(groups.gather(mine))
    if not difference <= _LOSS_TOLERANCE:  # a loss that is not a number is no agreement
        raise WrongResultError(f"over {backend} losses differ by {difference:.1g} from the first backend's")
    return difference
