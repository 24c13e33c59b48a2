"""One case of test_random_forms.py: a rank's tensors, how they lie in memory, and what must become of them.

What the ranks agree on is drawn from a generator that they share, the rest by each rank for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
import torch.distributed as dist

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
COMPLEX = (torch.complex64,)
OTHERS = (torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn)
# Results of all of these are whole numbers that every dtype holds.
SUM_ONLY = (*COMPLEX, torch.float8_e4m3fn)
OPS = (dist.ReduceOp.SUM, dist.ReduceOp.MAX, dist.ReduceOp.MIN)


def plain_of(tensor: torch.Tensor) -> torch.Tensor:
    """All of the memory in which the tensor lies, as bytes."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=torch.uint8).set_(storage, 0, (storage.nbytes(),), (1,))


def traits_of(tensor: torch.Tensor) -> tuple[Any, ...]:
    version = None if tensor.is_inference() else tensor._version
    return tensor.requires_grad, tensor.is_leaf, tensor.shape, tensor.stride(), tensor.dtype, version


@dataclass
class Held:
    """A tensor of one rank, and all that must be in its memory afterwards, between its elements too."""

    tensor: torch.Tensor
    form: str
    wanted: torch.Tensor | None  # None: it is only read

    def __post_init__(self) -> None:
        self.traits = traits_of(self.tensor)
        self.bytes = plain_of(self.tensor).clone()
        if self.wanted is not None:
            place = torch.empty(0, dtype=self.tensor.dtype).set_(
                self.bytes.untyped_storage(),
                self.tensor.storage_offset(),
                self.tensor.shape,
                self.tensor.stride(),
            )
            place.copy_(self.wanted.reshape(self.tensor.shape))

    def check(self, marked: bool) -> None:
        """`marked`: torch, with any backend, may have made it a result of inputs that require grad."""
        now = plain_of(self.tensor)
        if not torch.equal(now, self.bytes):
            at = int((now != self.bytes).nonzero()[0])
            raise AssertionError(
                f"{self.form}, {self.tensor.dtype} {self.traits[2:4]}: byte {at} of {now.numel()} is wrong; "
                f"{self.tensor.detach().flatten()[:8]}, not "
                f"{'what it was' if self.wanted is None else self.wanted.flatten()[:8]}"
            )
        first = 2 if marked and not self.traits[0] else 0
        assert traits_of(self.tensor)[first:] == self.traits[first:], (self.form, self.traits)


@dataclass
class Case:
    """What the ranks agree on (`shared`), and what this one chooses (`own`)."""

    shared: Random
    own: Random
    rank: int
    size: int
    held: list[Held] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dtype = self.shared.choice((*FLOATS, *FLOATS, *COMPLEX, *OTHERS))
        self.op = dist.ReduceOp.SUM if self.dtype in SUM_ONLY else self.shared.choice(OPS)
        self.shape = self.shared.choice(
            (
                tuple(self.shared.randrange(5) for _ in range(self.shared.randrange(4))),
                tuple(self.shared.randrange(1, 5) for _ in range(4)),
                (self.shared.randrange(1, 40), self.shared.randrange(1, 40)),
                (4, 8, self.shared.randrange(20, 40), 16),
            )
        )
        self.root = self.shared.randrange(self.size)
        self.salt = self.shared.randrange(1000)
        # Equal along the first dimension, so that an expanded tensor may stand for it.
        self.repeats = len(self.shape) > 0 and self.shape[0] > 0 and self.shared.random() < 0.2

    # ---- the model ----

    def content(self, rank: int, part: int = 0, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        shape = self.shape if shape is None else shape
        numbers = torch.arange(torch.Size(shape).numel()).view(shape)
        numbers = (numbers * 7 + rank * 5 + part * 3 + self.salt) // 2 % 4
        if self.repeats and shape and shape[0] > 0:
            numbers = numbers[:1].expand(shape)
        if self.dtype.is_complex:
            return torch.complex(numbers.float(), (numbers.float() + 1) % 4)
        return numbers.to(self.dtype)

    def all_of(self, part: int = 0, shape: tuple[int, ...] | None = None) -> list[torch.Tensor]:
        return [self.content(rank, part, shape) for rank in range(self.size)]

    def reduced(self, part: int = 0, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        wide = torch.complex128 if self.dtype.is_complex else torch.float64
        stacked = torch.stack([each.to(wide) for each in self.all_of(part, shape)])
        if self.op == dist.ReduceOp.SUM:
            return stacked.sum(0).to(self.dtype)
        return (stacked.amax(0) if self.op == dist.ReduceOp.MAX else stacked.amin(0)).to(self.dtype)

    # ---- this rank's tensors ----

    def reads(self, values: torch.Tensor, *, rows: bool = False) -> torch.Tensor:
        return self.hold(values, None, rows)

    def writes(
        self, wanted: torch.Tensor, before: torch.Tensor | None = None, *, rows: bool = False
    ) -> torch.Tensor:
        return self.hold(torch.ones_like(wanted) if before is None else before, wanted, rows)

    def hold(self, values: torch.Tensor, wanted: torch.Tensor | None, rows: bool) -> torch.Tensor:
        """`rows`: its first dimension counts."""
        form = self.own.choice(FORMS if wanted is not None else FORMS + READ_ONLY)
        tensor = (contiguous if rows and form is flat else form)(self, values)
        grad = self.own.choice(GRADS)
        if tensor.is_floating_point() or tensor.is_complex() or grad is inference:
            tensor = grad(tensor)
        self.held.append(Held(tensor, f"{form.__name__}, {grad.__name__}", wanted))
        return tensor


# ---- how a tensor lies in memory ----


def contiguous(case: Case, values: torch.Tensor) -> torch.Tensor:
    return values.clone(memory_format=torch.contiguous_format)


def flat(case: Case, values: torch.Tensor) -> torch.Tensor:
    return contiguous(case, values).view(-1)


def offset(case: Case, values: torch.Tensor) -> torch.Tensor:
    before = case.own.randrange(1, 9)
    buffer = torch.ones(before + values.numel() + 3, dtype=values.dtype)
    return buffer[before : before + values.numel()].view(values.shape).copy_(values)


def strided(case: Case, values: torch.Tensor) -> torch.Tensor:
    if values.dim() == 0:
        return offset(case, values)
    dim, step = case.own.randrange(values.dim()), case.own.randrange(2, 4)
    wide = list(values.shape)
    wide[dim] *= step
    index = [slice(None)] * values.dim()
    index[dim] = slice(case.own.randrange(step), None, step)
    return torch.ones(wide, dtype=values.dtype)[tuple(index)].copy_(values)


def permuted(case: Case, values: torch.Tensor) -> torch.Tensor:
    order = case.own.sample(range(values.dim()), values.dim())
    back = sorted(range(values.dim()), key=order.__getitem__)
    return contiguous(case, values.permute(order)).permute(back)


def channels_last(case: Case, values: torch.Tensor) -> torch.Tensor:
    if values.dim() != 4:
        return permuted(case, values)
    return values.clone(memory_format=torch.channels_last)


def window(case: Case, values: torch.Tensor) -> torch.Tensor:
    """The middle of something larger in every dimension."""
    room = torch.ones([each + 2 for each in values.shape], dtype=values.dtype)
    return room[tuple(slice(1, each + 1) for each in values.shape)].copy_(values)


def real_part(case: Case, values: torch.Tensor) -> torch.Tensor:
    if values.dtype not in (torch.float32, torch.float64):
        return window(case, values)
    return torch.complex(values, torch.ones_like(values)).real


def expanded(case: Case, values: torch.Tensor) -> torch.Tensor:
    wide = values.to(torch.complex64)  # torch does not compare 8-bit floats
    if values.dim() == 0 or values.shape[0] == 0 or not torch.equal(wide, wide[:1].expand_as(wide)):
        return strided(case, values)
    return contiguous(case, values[:1]).expand(values.shape)


def lazy(case: Case, values: torch.Tensor) -> torch.Tensor:
    """Negated when it is read. (torch itself refuses a conjugated one.)"""
    if values.dtype not in FLOATS:
        return strided(case, values)
    return torch._neg_view(-values)


FORMS = (contiguous, flat, offset, strided, permuted, channels_last, window, real_part)
READ_ONLY = (expanded, lazy)


# ---- what autograd knows of it ----


def unknown(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_()


def result(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_().clone()


def view_of_leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_()[...]


def inference(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return tensor.clone()


GRADS = (unknown, unknown, leaf, result, view_of_leaf, inference)
