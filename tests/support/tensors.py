"""Inputs, exact references, and error bounds for collectives that reduce."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.layout import Layout

Array = np.ndarray[Any, np.dtype[Any]]

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
DTYPES = (*FLOATS, *INTEGERS, "bool")
OPS = ("SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR")
FORMS = ("contiguous", "offset", "strided", "transposed")

# Unit roundoff: rounding a number x to the type is off by at most this times |x|.
ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
# Below its normal numbers a type is off by at most half its smallest step instead.
UNDERFLOW = {"float16": 2.0**-25, "bfloat16": 2.0**-134, "float32": 2.0**-150, "float64": 2.0**-1075}


def makes_sense(dtype: str, op: str) -> bool:
    """Whether ring reduces this pair: no bits of floats, no average of truth."""
    if dtype in FLOATS:
        return op not in ("BAND", "BOR", "BXOR")
    return not (dtype == "bool" and op == "AVG")


def torch_dtype(dtype: str) -> torch.dtype:
    found = getattr(torch, dtype)
    assert isinstance(found, torch.dtype)
    return found


def values(
    dtype: str, numel: int, *, seed: int, rank: int, world_size: int = 1, op: str = "SUM"
) -> torch.Tensor:
    """The input of `rank`: the same in every process, different on every rank, and fit for `op`."""
    random = np.random.default_rng([seed, rank])
    if dtype == "bool":
        return torch.from_numpy(random.integers(0, 2, numel, dtype=np.uint8).astype(np.bool_))
    if dtype in FLOATS:
        if op == "PRODUCT":  # between 1/2 and 2 each, so that a product of 8 neither overflows nor underflows
            reals = np.exp2(random.uniform(-1, 1, numel)) * random.choice([-1.0, 1.0], numel)
        else:
            reals = np.clip(2 * random.standard_normal(numel), -8, 8)
        return torch.from_numpy(reals).to(torch_dtype(dtype))
    limits = np.iinfo(dtype)
    # Sums and products wrap around, so any number will do; an average needs a sum that fits.
    share = world_size if op == "AVG" else 1
    low, high = -(-int(limits.min) // share), int(limits.max) // share
    return torch.from_numpy(random.integers(low, high, numel, dtype=dtype, endpoint=True))


@dataclass
class Held:
    """A tensor in a larger buffer, as views are in real programs; the gaps must stay as they are."""

    tensor: torch.Tensor
    gaps: list[torch.Tensor]

    def check_gaps(self) -> None:
        for gap in self.gaps:
            assert bool((gap.to(torch.uint8) == 1).all()), (
                "the collective wrote between the tensor's elements"
            )


def hold(content: torch.Tensor, form: str) -> Held:
    """A copy of `content` as a matrix with the memory layout `form`."""
    numel = content.numel()
    rows = next((rows for rows in (7, 5, 3, 2) if numel % rows == 0), 1)
    room = {"offset": numel + 2, "strided": 2 * numel}.get(form, numel)
    buffer = torch.ones(room, dtype=content.dtype)
    match form:
        case "contiguous":
            held = Held(buffer.view(rows, -1) if numel else buffer, [])
        case "offset":
            inner = buffer[1:-1]
            held = Held(inner.view(rows, -1) if numel else inner, [buffer[:1], buffer[-1:]])
        case "strided":
            pairs = buffer.view(rows, -1) if numel else buffer
            held = Held(pairs[..., ::2], [pairs[..., 1::2]])
        case "transposed":
            held = Held(buffer.view(-1, rows).t() if numel else buffer, [])
        case _:
            raise ValueError(f"unknown form {form}")
    held.tensor.copy_(content.reshape(held.tensor.shape))
    return held


def digest(*tensors: torch.Tensor) -> str:
    """Equal for tensors that are equal bit by bit, and for no others."""
    total = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        total.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        dense = tensor.clone(memory_format=torch.contiguous_format)
        total.update(dense.view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def check_equal(result: torch.Tensor, expected: torch.Tensor) -> None:
    """Bit by bit."""
    assert result.dtype == expected.dtype
    assert digest(result.reshape(-1)) == digest(expected.reshape(-1)), f"got {result}, expected {expected}"


def check_reduction(result: torch.Tensor, inputs: Sequence[torch.Tensor], op: str, layout: Layout) -> None:
    """`result` is `inputs` (one for each rank) reduced by `op`: exactly, or as closely as rounding allows."""
    dtype = str(result.dtype).removeprefix("torch.")
    got = _wide(result.reshape(-1))
    operands = [_wide(each.reshape(-1)) for each in inputs]
    if dtype in FLOATS and op in ("SUM", "AVG", "PRODUCT"):
        expected = _exact_reals(operands, op)
        error = np.abs(got - expected)
        wrong = ~(error <= _bound(operands, expected, dtype, op))
    else:
        expected = _exact(operands, op)
        wrong = (got != expected) & ~((got != got) & (expected != expected))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise AssertionError(
            f"{op} of {dtype}[{got.size}] on {layout}: {int(wrong.sum())} elements are wrong; the first, "
            f"at {at}, is {got[at]!r} and should be {expected[at]!r}, from {[each[at] for each in operands]}"
        )


def _wide(tensor: torch.Tensor) -> Array:
    """As an array to compute the reference in: reals in a wider type, integers and truth as they are."""
    if tensor.dtype == torch.float64:
        return np.asarray(tensor.numpy().astype(np.longdouble))
    if tensor.is_floating_point():
        return np.asarray(tensor.double().numpy())
    return np.asarray(tensor.contiguous().numpy())


def _exact_reals(operands: list[Array], op: str) -> Array:
    if op == "PRODUCT":
        return np.asarray(np.prod(np.stack(operands), axis=0))
    total: Array = np.sum(np.stack(operands), axis=0)
    return np.asarray(total / len(operands) if op == "AVG" else total)


def _exact(operands: list[Array], op: str) -> Array:
    if op == "AVG":
        total = _fold(np.add, operands)
        ones = [np.sign(total).astype(total.dtype), np.abs(total) // np.asarray(len(operands), total.dtype)]
        return np.asarray(ones[0] * ones[1])  # towards zero
    logical = operands[0].dtype == np.bool_
    function = {
        "SUM": np.logical_or if logical else np.add,
        "PRODUCT": np.logical_and if logical else np.multiply,
        "MIN": np.minimum,
        "MAX": np.maximum,
        "BAND": np.bitwise_and,
        "BOR": np.bitwise_or,
        "BXOR": np.bitwise_xor,
    }[op]
    return _fold(function, operands)


def _fold(function: np.ufunc, operands: list[Array]) -> Array:
    total = operands[0]
    for operand in operands[1:]:
        total = function(total, operand)
    return np.asarray(total)


def _bound(operands: list[Array], exact: Array, dtype: str, op: str) -> Array:
    """How far from `exact` a correct result may lie, in whatever order the ranks were added.

    Each input passes through at most n - 1 operations, one more for AVG's division, and each of them
    multiplies its share of the result by some 1 + d, |d| <= u. So a sum is off by at most ((1 + u)^n - 1) *
    sum |x|, and a product by the same factor of itself. 16-bit types compute in float32 and round to 16 bits
    once, at the end, on any layout.
    """
    n = len(operands)
    if n == 1:
        return np.zeros_like(exact)
    sixteen_bit = dtype in ("float16", "bfloat16")
    compute = ROUNDOFF["float32"] if sixteen_bit else ROUNDOFF[dtype]
    computing = (1 + np.longdouble(compute)) ** (n if op == "AVG" else n - 1)
    size: Array
    if op == "PRODUCT":
        size = np.abs(exact)
    else:
        size = np.sum(np.abs(np.stack(operands)), axis=0) / (n if op == "AVG" else 1)
    computed = (computing - 1) * size
    bound = computed + n * UNDERFLOW["float32" if sixteen_bit else dtype]
    if sixteen_bit:
        bound = bound + ROUNDOFF[dtype] * (np.abs(exact) + computed) + UNDERFLOW[dtype]
    # The reference itself was computed in a type with some 2^-53 of roundoff or less.
    slack = n * size * np.finfo(exact.dtype).eps
    return np.asarray(bound + slack)
