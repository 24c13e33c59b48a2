"""The collectives that `torch-ring bench` measures: tensors, the call, the known result, the bus factor."""

from __future__ import annotations

import torch
import torch.distributed as dist

NAMES = ("all_reduce", "broadcast", "all_gather", "reduce_scatter", "barrier")
# New torch renames them and warns of the old names.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
_PERIOD = (
    5  # of the test pattern: its values are 0 .. 4, so that sums are exact even in bfloat16, up to 64 ranks
)


def bus_factor(name: str, ranks: int) -> float:
    """busbw = bytes / time * this: the conventions of nccl-tests (its doc/PERFORMANCE.md)."""
    if name == "all_reduce":
        return 2 * (ranks - 1) / ranks
    if name in ("all_gather", "reduce_scatter"):
        return (ranks - 1) / ranks
    return 1.0


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
    one per rank at least. A barrier has none.
    """

    def __init__(self, name: str, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.name = name
        self._rank, self._ranks = dist.get_rank(), dist.get_world_size()
        sharded = name in ("all_gather", "reduce_scatter")
        parts = self._ranks if sharded else 1
        share = 0 if name == "barrier" else max(1, size // dtype.itemsize // parts)
        self.bytes = share * parts * dtype.itemsize
        self._whole = torch.zeros(share * parts, dtype=dtype, device=device)
        self._own = torch.zeros(share if sharded else 0, dtype=dtype, device=device)
        self._finish = torch.cuda.synchronize if device.type == "cuda" else None

    def call(self, group: dist.ProcessGroup) -> None:
        """The collective, from its call to its result."""
        if self.name == "all_reduce":
            dist.all_reduce(self._whole, group=group)
        elif self.name == "broadcast":
            dist.broadcast(self._whole, src=0, group=group)
        elif self.name == "all_gather":
            _all_gather(self._whole, self._own, group=group)
        elif self.name == "reduce_scatter":
            _reduce_scatter(self._own, self._whole, group=group)
        else:
            dist.barrier(group=group)
        if self._finish:
            self._finish()

    def wrong(self, group: dist.ProcessGroup) -> int:
        """Makes one call with known input; how many elements of this rank's result are not as expected."""
        mine, whole, own = _pattern(self._rank), self._whole, self._own
        total = torch.stack([_pattern(rank) for rank in range(self._ranks)]).sum(0)
        whole.copy_(_filled(mine, whole))
        own.copy_(_filled(mine, own))
        self.call(group)
        if self.name == "all_reduce":
            bad = self._unequal(whole, _filled(total, whole))
        elif self.name == "broadcast":
            bad = self._unequal(whole, _filled(_pattern(0), whole))
        elif self.name == "all_gather":
            bad = sum(
                self._unequal(part, _filled(_pattern(rank), part))
                for rank, part in enumerate(whole.chunk(self._ranks))
            )
        elif self.name == "reduce_scatter":
            bad = self._unequal(own, _filled(total, own, start=self._rank * own.numel() % _PERIOD))
        else:
            bad = 0
        whole.zero_()  # sums of zeros stay zero however often the call is made
        own.zero_()
        return bad

    def _unequal(self, result: torch.Tensor, expected: torch.Tensor) -> int:
        if not result.dtype.is_floating_point:
            return int((result != expected).sum())
        epsilon = torch.finfo(result.dtype).eps
        largest_sum = (_PERIOD - 1) * self._ranks
        rounding = 0.0 if largest_sum <= 2 / epsilon else self._ranks * epsilon
        return int((~torch.isclose(result, expected, rtol=rounding, atol=0)).sum())
