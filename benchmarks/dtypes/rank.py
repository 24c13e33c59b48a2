"""What each of the ranks does: calls every collective with every dtype and op. Started by __main__.py."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from torch_ring._backend import load

RANKS = 2
NUMEL = 12
BACKENDS = ("ring", "gloo")
# Those that libring knows, then some that it did not when this was written.
_KNOWN = tuple(getattr(torch, name) for name in load().dtypes())
_OTHERS = (torch.complex64, torch.complex128, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
DTYPES = tuple(dict.fromkeys((*_KNOWN, *_OTHERS)))
OPS = tuple(load().reduce_ops())
# The ranks' numbers, so small that every dtype holds every result: 1 on rank 0, and 3 on rank 1.
NUMBERS = (1, 3)
RESULTS = {
    "SUM": 4,
    "AVG": 2,
    "PRODUCT": 3,
    "MIN": 1,
    "MAX": 3,
    "BAND": 1,
    "BOR": 3,
    "BXOR": 2,
    "PREMUL_SUM": 2,
}
TRUE = {op: op != "BXOR" for op in OPS}  # of bool, where both are true

# By backend, collective and op ("" where none), the dtypes that give the right result.
Found = dict[str, dict[str, dict[str, list[str]]]]


def number(dtype: torch.dtype, value: int, numel: int = NUMEL) -> torch.Tensor:
    return torch.full((numel,), value).to(torch.float32).to(dtype)


def reduce_op(op: str) -> Any:
    return dist._make_nccl_premul_sum(0.5) if op == "PREMUL_SUM" else getattr(dist.ReduceOp, op)  # type: ignore[attr-defined]


def reductions() -> dict[str, Callable[[torch.Tensor, Any], torch.Tensor | None]]:
    def all_reduce(mine: torch.Tensor, op: Any) -> torch.Tensor:
        dist.all_reduce(mine, op=op)
        return mine

    def reduce(mine: torch.Tensor, op: Any) -> torch.Tensor | None:
        dist.reduce(mine, 0, op=op)
        return mine if dist.get_rank() == 0 else None

    def reduce_scatter(mine: torch.Tensor, op: Any) -> torch.Tensor:
        share = torch.empty(NUMEL // RANKS, dtype=mine.dtype)
        dist.reduce_scatter_tensor(share, mine, op=op)
        return share

    return {each.__name__: each for each in (all_reduce, reduce, reduce_scatter)}


def moves() -> dict[str, Callable[[torch.Tensor, int], list[torch.Tensor]]]:
    """Each returns what came from rank 0, or from each rank."""

    def empty(mine: torch.Tensor) -> list[torch.Tensor]:
        return [torch.empty_like(mine) for _ in range(RANKS)]

    def broadcast(mine: torch.Tensor, rank: int) -> list[torch.Tensor]:
        dist.broadcast(mine, 0)
        return [mine]

    def all_gather(mine: torch.Tensor, rank: int) -> list[torch.Tensor]:
        dist.all_gather(parts := empty(mine), mine)
        return parts

    def gather(mine: torch.Tensor, rank: int) -> list[torch.Tensor]:
        parts = empty(mine)
        dist.gather(mine, parts if rank == 0 else None, 0)
        return parts if rank == 0 else []

    def scatter(mine: torch.Tensor, rank: int) -> list[torch.Tensor]:
        share = torch.empty_like(mine)
        dist.scatter(share, [mine.clone() for _ in range(RANKS)] if rank == 0 else None, 0)
        return [share]

    def all_to_all(mine: torch.Tensor, rank: int) -> list[torch.Tensor]:
        output = torch.empty_like(mine)
        dist.all_to_all_single(output, mine)
        return list(output.chunk(RANKS))

    def send_recv(mine: torch.Tensor, rank: int) -> list[torch.Tensor]:
        if rank == 0:
            dist.send(mine, 1)
            return []
        dist.recv(mine, 0)
        return [mine]

    return {each.__name__: each for each in (broadcast, all_gather, gather, scatter, all_to_all, send_recv)}


def reduces(call: Callable[[torch.Tensor, Any], torch.Tensor | None], dtype: torch.dtype, op: str) -> bool:
    rank = dist.get_rank()
    result = call(number(dtype, NUMBERS[rank]), reduce_op(op))
    wanted = int(TRUE[op]) if dtype == torch.bool else RESULTS[op]
    return result is None or bool((result.to(torch.complex128) == wanted).all())


def carries(call: Callable[[torch.Tensor, int], list[torch.Tensor]], dtype: torch.dtype) -> bool:
    rank = dist.get_rank()
    parts = call(number(dtype, NUMBERS[rank]), rank)
    return all(
        torch.equal(part.view(torch.uint8), number(dtype, NUMBERS[source], part.numel()).view(torch.uint8))
        for source, part in enumerate(parts)
    )


def tried(call: Callable[[], bool]) -> bool:
    """Whether it works here; a refusal comes before anything is sent, so that the group goes on."""
    try:
        return call()
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False


def run_rank(rank: int, folder: str) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    found: Found = {}
    for backend in BACKENDS:
        dist.init_process_group(
            backend,
            init_method=f"file://{folder}/{backend}",
            rank=rank,
            world_size=RANKS,
            timeout=timedelta(seconds=30),
        )
        of_backend = found.setdefault(backend, {})
        for name, reduction in reductions().items():
            for op in OPS:
                of_backend.setdefault(name, {})[op] = [
                    str(dtype).removeprefix("torch.")
                    for dtype in DTYPES
                    if tried(lambda: reduces(reduction, dtype, op))  # noqa: B023 (called at once)
                ]
        for name, move in moves().items():
            of_backend[name] = {
                "": [
                    str(dtype).removeprefix("torch.")
                    for dtype in DTYPES
                    if tried(lambda: carries(move, dtype))  # noqa: B023 (called at once)
                ]
            }
        dist.destroy_process_group()
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
