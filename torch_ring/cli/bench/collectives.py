"""The collectives that `torch-ring bench` measures: tensors, the call, the known result, the bus factor."""

from __future__ import annotations

import torch
import torch.distributed as dist

from torch_ring.cli.core import core

NAMES = (
    "all_reduce",
    "reduce",
    "broadcast",
    "all_gather",
    "reduce_scatter",
    "gather",
    "scatter",
    "all_to_all",
    "send_recv",
    "barrier",
)
_SHARDED = ("all_gather", "reduce_scatter", "gather", "scatter", "all_to_all")
# New torch renames them and warns of the old names.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
_PERIOD = (
    5  # of the test pattern: its values are 0 .. 4, so that sums are exact even in bfloat16, up to 64 ranks
)


def bus_factor(name: str, ranks: int) -> float:
    """busbw = bytes / time * this: the conventions of nccl-tests (its doc/PERFORMANCE.md)."""
    factor: float = core().bus_factor("send" if name == "send_recv" else name, ranks)
    return factor


def link_limit(name: str, ranks: int, hosts: int, link: float) -> float:
    """The busbw at which each host's link is full, where every byte crosses a link as seldom as it must.

    In the unit of `link`, the rate of a host's link in each direction. busbw counts ranks and a link carries
    what its host's ranks send together, so several ranks per host reach a busbw above the link's rate. With
    one host there is no link, and this is `link` itself.
    """
    return link * bus_factor(name, ranks) / bus_factor(name, hosts) if hosts > 1 else link


def _pattern(rank: int) -> torch.Tensor:
    """The values that start a rank's input."""
    return (torch.arange(_PERIOD) + rank) % _PERIOD


def _filled(pattern: torch.Tensor, like: torch.Tensor, start: int = 0) -> torch.Tensor:
    """A tensor like `like` that holds the pattern over and over, from element `start` of it on."""
    values = pattern.roll(-start).to(like)
    return values.repeat(like.numel() // _PERIOD + 1)[: like.numel()]


class Case:
    """A collective at one size, on this rank. Tensors are made once and serve every backend of a device.

    As in nccl-tests, the size is that of the larger of input and output; it is rounded to whole elements,
    one per rank at least. A barrier has none. send_recv: each rank sends to the next one and receives from
    the one before. Roots are rank 0.
    """

    def __init__(self, name: str, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.name = name
        self._rank, self._ranks = dist.get_rank(), dist.get_world_size()
        sharded = name in _SHARDED
        parts = self._ranks if sharded else 1
        share = 0 if name == "barrier" else max(1, size // dtype.itemsize // parts)
        self.bytes = share * parts * dtype.itemsize
        self._whole = torch.zeros(share * parts, dtype=dtype, device=device)
        self._own = torch.zeros(share if sharded else 0, dtype=dtype, device=device)
        # The output of what cannot work in place.
        apart = name in ("all_to_all", "send_recv")
        self._other = torch.zeros_like(self._whole) if apart else self._whole[:0]
        root = self._rank == 0
        self._parts = list(self._whole.chunk(self._ranks)) if root and sharded else None
        self._finish = torch.cuda.synchronize if device.type == "cuda" else None

    def call(self, group: dist.ProcessGroup) -> None:
        """The collective, from its call to its result."""
        match self.name:
            case "all_reduce":
                dist.all_reduce(self._whole, group=group)
            case "reduce":
                dist.reduce(self._whole, dst=0, group=group)
            case "broadcast":
                dist.broadcast(self._whole, src=0, group=group)
            case "all_gather":
                _all_gather(self._whole, self._own, group=group)
            case "reduce_scatter":
                _reduce_scatter(self._own, self._whole, group=group)
            case "gather":
                dist.gather(self._own, self._parts, dst=0, group=group)
            case "scatter":
                dist.scatter(self._own, self._parts, src=0, group=group)
            case "all_to_all":
                dist.all_to_all_single(self._other, self._whole, group=group)
            case "send_recv":
                self._pass_on(group)
            case "barrier":
                dist.barrier(group=group)
            case _:
                raise ValueError(f"no collective is called {self.name}")
        if self._finish:
            self._finish()

    def _pass_on(self, group: dist.ProcessGroup) -> None:
        if self._ranks == 1:
            self._other.copy_(self._whole)
            return
        sent = dist.isend(self._whole, dst=(self._rank + 1) % self._ranks, group=group)
        dist.recv(self._other, src=(self._rank - 1) % self._ranks, group=group)
        assert sent is not None  # this rank is in the group
        sent.wait()

    def wrong(self, group: dist.ProcessGroup) -> int:
        """Makes one call with known input; how many elements of this rank's result are not as expected."""
        mine, whole, own = _pattern(self._rank), self._whole, self._own
        whole.copy_(_filled(mine, whole))
        own.copy_(_filled(mine, own))
        self.call(group)
        bad = self._count_wrong()
        for tensor in (whole, own, self._other):
            tensor.zero_()  # sums of zeros stay zero however often the call is made
        return bad

    def _count_wrong(self) -> int:
        whole, own, ranks = self._whole, self._own, self._ranks
        share = whole.numel() // ranks
        total = torch.stack([_pattern(rank) for rank in range(ranks)]).sum(0)
        match self.name:
            case "all_reduce":
                return self._unequal(whole, _filled(total, whole))
            case "reduce":
                return self._unequal(whole, _filled(total, whole)) if self._rank == 0 else 0
            case "broadcast":
                return self._unequal(whole, _filled(_pattern(0), whole))
            case "reduce_scatter":
                return self._unequal(own, _filled(total, own, start=self._rank * share % _PERIOD))
            case "scatter":
                return self._unequal(own, _filled(_pattern(0), own, start=self._rank * share % _PERIOD))
            case "all_gather":
                return self._unequal_parts(whole, start=0)
            case "gather":
                return self._unequal_parts(whole, start=0) if self._rank == 0 else 0
            case "all_to_all":
                return self._unequal_parts(self._other, start=self._rank * share % _PERIOD)
            case "send_recv":
                before = _pattern((self._rank - 1) % ranks)
                return self._unequal(self._other, _filled(before, self._other))
            case "barrier":
                return 0
            case _:
                raise ValueError(f"no collective is called {self.name}")

    def _unequal_parts(self, result: torch.Tensor, start: int) -> int:
        """Each part is of another rank, which sent what begins at `start` of its pattern."""
        return sum(
            self._unequal(part, _filled(_pattern(rank), part, start))
            for rank, part in enumerate(result.chunk(self._ranks))
        )

    def _unequal(self, result: torch.Tensor, expected: torch.Tensor) -> int:
        if not result.dtype.is_floating_point:
            return int((result.to(expected.dtype) != expected).sum())
        epsilon = torch.finfo(result.dtype).eps
        if result.dtype.itemsize == 1:
            result, expected = result.float(), expected.float()  # torch compares no smaller ones
        largest_sum = (_PERIOD - 1) * self._ranks
        rounding = 0.0 if largest_sum <= 2 / epsilon else self._ranks * epsilon
        return int((~torch.isclose(result, expected, rtol=rounding, atol=0)).sum())
