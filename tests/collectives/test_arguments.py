"""Arguments that make no sense are refused by the caller, before anything is sent; the group goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import (
    AllgatherOptions,
    AllreduceCoalescedOptions,
    AllreduceOptions,
    BroadcastOptions,
    GatherOptions,
    ReduceOptions,
    ReduceScatterOptions,
    ScatterOptions,
)

from harness import Pools
from torch_ring import RingConfigError, RingTypeError

Call = Callable[[Any, int], object]


def one(n: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(n, dtype=dtype)


def with_options(kind: Any, **values: int) -> Any:
    options = kind()
    for name, value in values.items():
        setattr(options, name, value)
    return options


def root(kind: Any, rank: int, tensor: int = 0) -> Any:
    return with_options(kind, rootRank=rank, rootTensor=tensor)


DOUBLE = torch.float64

# By what the message says: a call of the group's own methods, with this rank.
VALUES: dict[str, Call] = {
    r"all_reduce takes one tensor per call, not 2: call it once for each, or all_reduce_coalesced": (
        lambda group, rank: group.allreduce([one(), one()], AllreduceOptions())
    ),
    "all_reduce takes one tensor per call, not 0": (
        lambda group, rank: group.allreduce([], AllreduceOptions())
    ),
    "all_reduce_coalesced requires non-empty tensor list": (
        lambda group, rank: group.allreduce_coalesced([], AllreduceCoalescedOptions())
    ),
    "broadcast takes one tensor per call, not 2": (
        lambda group, rank: group.broadcast([one(), one()], BroadcastOptions())
    ),
    "broadcast with rootTensor 1": (
        lambda group, rank: group.broadcast([one()], root(BroadcastOptions, 0, 1))
    ),
    "broadcast with rootTensor -1": (
        lambda group, rank: group.broadcast([one()], root(BroadcastOptions, 0, -1))
    ),
    r"broadcast.*the root must be a rank of the group": (
        lambda group, rank: group.broadcast([one()], root(BroadcastOptions, 2))
    ),
    r"broadcast with root 4294967296, which is no rank": (
        lambda group, rank: group.broadcast([one()], root(BroadcastOptions, 1 << 32))
    ),
    "reduce takes one tensor per call, not 2": (
        lambda group, rank: group.reduce([one(), one()], ReduceOptions())
    ),
    "reduce with rootTensor 1": lambda group, rank: group.reduce([one()], root(ReduceOptions, 0, 1)),
    "all_gather takes one list of tensors per call, not 2": (
        lambda group, rank: group.allgather([[one()] * 4] * 2, [one(), one()], AllgatherOptions())
    ),
    "all_gather with 1 tensors in a group of 2 ranks": (
        lambda group, rank: group.allgather([[one()]], [one()], AllgatherOptions())
    ),
    "all_gather of tensors of different sizes, 2 and 1": (
        lambda group, rank: group.allgather([[one(2), one(2)]], [one()], AllgatherOptions())
    ),
    "all_gather_coalesced requires non-empty": (
        lambda group, rank: group.allgather_coalesced([[], []], [], AllgatherOptions())
    ),
    "gather takes one tensor per call, not 2": (
        lambda group, rank: group.gather([], [one(), one()], with_options(GatherOptions, rootRank=0))
    ),
    "gather takes one list of tensors per call, not 2": (
        lambda group, rank: group.gather(
            [[one(), one()]] * 2, [one()], with_options(GatherOptions, rootRank=rank)
        )
    ),
    "gather of tensors of different sizes": (
        lambda group, rank: group.gather([[one(2)] * 2], [one()], with_options(GatherOptions, rootRank=rank))
    ),
    "gather with outputs on rank ., which is not the root": (
        lambda group, rank: group.gather(
            [[one(), one()]], [one()], with_options(GatherOptions, rootRank=1 - rank)
        )
    ),
    "scatter takes one list of tensors per call, not 2": (
        lambda group, rank: group.scatter(
            [one()], [[one(), one()]] * 2, with_options(ScatterOptions, rootRank=rank)
        )
    ),
    "scatter with 0 tensors in a group of 2": (
        lambda group, rank: group.scatter([one()], [], with_options(ScatterOptions, rootRank=rank))
    ),
    "reduce_scatter of tensors of different sizes, 2 and 1": (
        lambda group, rank: group.reduce_scatter([one()], [[one(2), one(2)]], ReduceScatterOptions())
    ),
    "all_to_all_single with output splits of 2 rows together, for a tensor of 3": (
        lambda group, rank: group.alltoall_base(one(3), one(3), [1, 1], [1, 2])
    ),
    "send takes one tensor per call, not 2": lambda group, rank: group.send([one(), one()], 1 - rank, 0),
}
TYPES: dict[str, Call] = {
    "all_reduce_coalesced of tensors of different dtypes": (
        lambda group, rank: group.allreduce_coalesced([one(), one(1, DOUBLE)], AllreduceCoalescedOptions())
    ),
    "all_gather of tensors of different dtypes": (
        lambda group, rank: group.allgather([[one(1, DOUBLE)] * 2], [one()], AllgatherOptions())
    ),
    "gather of tensors of different dtypes": (
        lambda group, rank: group.gather(
            [[one(1, DOUBLE)] * 2], [one()], with_options(GatherOptions, rootRank=rank)
        )
    ),
    "scatter of tensors of different dtypes": (
        lambda group, rank: group.scatter(
            [one()], [[one(1, DOUBLE)] * 2], with_options(ScatterOptions, rootRank=rank)
        )
    ),
    "reduce_scatter of tensors of different dtypes": (
        lambda group, rank: group.reduce_scatter([one()], [[one(1, DOUBLE)] * 2], ReduceScatterOptions())
    ),
    "all_to_all_single of tensors of different dtypes": (
        lambda group, rank: group.alltoall_base(one(2, DOUBLE), one(2), [], [])
    ),
}


def refuse_all(only_rank: int | None) -> None:
    """One rank alone, or all: nobody else notices, for nothing was sent."""
    rank, size = dist.get_rank(), dist.get_world_size()
    assert dist.group.WORLD is not None
    backend: Any = dist.group.WORLD._get_backend(torch.device("cpu"))
    for calls, own, usual in ((VALUES, RingConfigError, ValueError), (TYPES, RingTypeError, TypeError)):
        for message, call in calls.items():
            if only_rank in (None, rank):
                before = backend._get_sequence_number_for_group()
                with pytest.raises(own, match=message) as caught:
                    call(backend, rank).wait()  # type: ignore[attr-defined]
                assert isinstance(caught.value, usual)
                assert isinstance(caught.value, RuntimeError)  # as gloo's are
                assert backend._get_sequence_number_for_group() == before
            dist.all_reduce(total := torch.ones(1))
            assert int(total) == size


@pytest.mark.parametrize("only_rank", [None, 0, 1])
def test_what_makes_no_sense_is_refused_by_the_caller(pools: Pools, only_rank: int | None) -> None:
    pools.get("1x2").run(refuse_all, only_rank)
