"""Tensors in every form of memory, in every mode of autograd, whoever completes the call.

The result is the call's own: neither the modes of the thread that completes it nor those at the call decide
whether it arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import AllreduceOptions, BroadcastOptions
from torch.utils._python_dispatch import TorchDispatchMode

from harness import Pools

Make = Callable[[torch.Tensor], torch.Tensor]
Check = Callable[[], None]
Started = tuple[Any, Check]

SHAPES = ((2, 3, 4, 5), (16, 8, 16, 16))  # goes in the thread that calls, and does not
MODES: tuple[Callable[[], AbstractContextManager[Any]], ...] = (
    torch.enable_grad,
    torch.no_grad,
    torch.inference_mode,
)


def strided(values: torch.Tensor) -> torch.Tensor:
    wide = torch.zeros(*values.shape[:-1], 2 * values.shape[-1], dtype=values.dtype)
    wide[..., ::2] = values
    return wide[..., ::2]


def channels_last(values: torch.Tensor) -> torch.Tensor:
    return values.clone(memory_format=torch.channels_last)


def leaf(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.Parameter(channels_last(values))


def contiguous_leaf(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.Parameter(values.clone())


def inference(values: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return channels_last(values)


def negated(values: torch.Tensor) -> torch.Tensor:
    return torch._neg_view(-values)


def conjugated(values: torch.Tensor) -> torch.Tensor:
    return torch.complex(values, -values).conj()


FORMS = (torch.clone, strided, channels_last, leaf, contiguous_leaf, inference)


def values_of(rank: int, shape: tuple[int, ...], part: int = 0) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel()).view(shape) % 1000 + 1000.0 * rank + 10000 * part


def all_of(shape: tuple[int, ...], part: int = 0) -> list[torch.Tensor]:
    return [values_of(rank, shape, part) for rank in range(dist.get_world_size())]


def same(results: list[torch.Tensor], expected: list[torch.Tensor]) -> Check:
    """Compares them later; nothing else about the tensors has changed by then."""
    before = [(each.requires_grad, each.is_leaf, each.stride(), version_of(each)) for each in results]

    def check() -> None:
        for result, wanted in zip(results, expected, strict=True):
            plain = result.detach()
            assert torch.equal(plain.real if plain.is_complex() else plain, wanted), (plain, wanted)
        after = [(each.requires_grad, each.is_leaf, each.stride(), version_of(each)) for each in results]
        assert after == before

    return check


def version_of(tensor: torch.Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


def start_all_reduce(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    tensor = make(values_of(dist.get_rank(), shape))
    check = same([tensor], [sum(all_of(shape), torch.zeros(shape))])
    return dist.all_reduce(tensor, async_op=not sync), check


def start_all_reduce_coalesced(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    tensors = [make(values_of(dist.get_rank(), shape, part)) for part in range(3)]
    check = same(tensors, [sum(all_of(shape, part), torch.zeros(shape)) for part in range(3)])
    return dist.all_reduce_coalesced(tensors, async_op=not sync), check


def start_reduce(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    tensor = make(values_of(dist.get_rank(), shape))
    all_values = all_of(shape)
    wanted = sum(all_values, torch.zeros(shape)) if dist.get_rank() == 1 else all_values[dist.get_rank()]
    check = same([tensor], [wanted])
    return dist.reduce(tensor, 1, async_op=not sync), check


def start_broadcast(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    tensor = make(values_of(dist.get_rank(), shape))
    check = same([tensor], [values_of(1, shape)])
    return dist.broadcast(tensor, 1, async_op=not sync), check


def start_all_gather(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    outputs = [make(torch.zeros(shape)) for _ in all_of(shape)]
    check = same(outputs, all_of(shape))
    return dist.all_gather(outputs, make(values_of(dist.get_rank(), shape)), async_op=not sync), check


def start_all_gather_into(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    output = make(torch.zeros_like(torch.cat(all_of(shape))))
    check = same([output], [torch.cat(all_of(shape))])
    mine = make(values_of(dist.get_rank(), shape))
    return dist.all_gather_into_tensor(output, mine, async_op=not sync), check


def start_reduce_scatter(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    rank, size = dist.get_rank(), dist.get_world_size()
    output = make(torch.zeros(shape))
    check = same([output], [sum(all_of(shape, rank), torch.zeros(shape))])
    inputs = [make(values_of(rank, shape, part)) for part in range(size)]
    return dist.reduce_scatter(output, inputs, async_op=not sync), check


def start_reduce_scatter_tensor(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    rank, size = dist.get_rank(), dist.get_world_size()
    output = make(torch.zeros(shape))
    check = same([output], [sum(all_of(shape, rank), torch.zeros(shape))])
    whole = make(torch.cat([values_of(rank, shape, part) for part in range(size)]))
    return dist.reduce_scatter_tensor(output, whole, async_op=not sync), check


def start_gather(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    outputs = [make(torch.zeros(shape)) for _ in all_of(shape)] if dist.get_rank() == 1 else None
    check = same(outputs or [], all_of(shape) if outputs else [])
    return dist.gather(make(values_of(dist.get_rank(), shape)), outputs, 1, async_op=not sync), check


def start_scatter(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    output = make(torch.zeros(shape))
    check = same([output], [values_of(dist.get_rank(), shape)])
    inputs = [make(each) for each in all_of(shape)] if dist.get_rank() == 1 else None
    return dist.scatter(output, inputs, 1, async_op=not sync), check


def start_all_to_all(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    rank, size = dist.get_rank(), dist.get_world_size()
    outputs = [make(torch.zeros(shape)) for _ in range(size)]
    check = same(outputs, all_of(shape, rank))
    inputs = [make(values_of(rank, shape, part)) for part in range(size)]
    return dist.all_to_all(outputs, inputs, async_op=not sync), check


def start_all_to_all_single(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    rank, size = dist.get_rank(), dist.get_world_size()
    output = make(torch.zeros_like(torch.cat(all_of(shape))))
    check = same([output], [torch.cat(all_of(shape, rank))])
    whole = make(torch.cat([values_of(rank, shape, part) for part in range(size)]))
    return dist.all_to_all_single(output, whole, async_op=not sync), check


def start_message(make: Make, shape: tuple[int, ...], sync: bool) -> Started:
    tensor = make(values_of(dist.get_rank(), shape))
    check = same([tensor], [values_of(0, shape)])
    if dist.get_rank() == 0:
        return dist.send(tensor, 1) if sync else dist.isend(tensor, 1), check
    received = dist.recv(tensor, 0) if sync else dist.irecv(tensor, 0)
    return (None if sync else received), check


CALLS = (
    start_all_reduce,
    start_all_reduce_coalesced,
    start_reduce,
    start_broadcast,
    start_all_gather,
    start_all_gather_into,
    start_reduce_scatter,
    start_reduce_scatter_tensor,
    start_gather,
    start_scatter,
    start_all_to_all,
    start_all_to_all_single,
    start_message,
)


class Refusing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode of the thread that must not see what the call does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} in the thread that waits")


def in_every_mode(start: Callable[[bool], Started], others: ThreadPoolExecutor) -> None:
    for mode in MODES:
        for how in ("sync", "async", "other thread"):
            with mode():
                work, check = start(how == "sync")
            if how == "async":
                with Refusing():  # type: ignore[no-untyped-call]
                    work.wait()
            elif how == "other thread":
                waited_in = torch.no_grad if mode is torch.inference_mode else torch.inference_mode

                def wait(
                    work: Any = work, mode: Callable[[], AbstractContextManager[Any]] = waited_in
                ) -> None:
                    with mode():
                        work.wait()

                others.submit(wait).result()
            check()


def call_in_every_form() -> None:
    with ThreadPoolExecutor(1) as others:
        for start in CALLS:
            for make in FORMS:
                for shape in SHAPES:
                    try:
                        in_every_mode(lambda sync: start(make, shape, sync), others)  # noqa: B023
                    except Exception as error:
                        where = f"{start.__name__}, {getattr(make, '__name__', make)}, {shape}"
                        raise AssertionError(f"{where}: {error!r}") from error


def use_lazy_views() -> None:
    """A negated or conjugated view whose result the group's own methods write.

    torch hands a copy of such a tensor to whatever backend there is, so through torch.distributed it can only
    be read.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    assert dist.group.WORLD is not None
    backend: Any = dist.group.WORLD._get_backend(torch.device("cpu"))
    for make in (negated, conjugated):
        for shape in SHAPES:
            tensor = make(values_of(rank, shape))
            check = same([tensor], [values_of(0, shape)])
            backend.broadcast([tensor], BroadcastOptions()).wait()
            check()
            tensor = make(values_of(rank, shape))
            check = same([tensor], [sum(all_of(shape), torch.zeros(shape))])
            backend.allreduce([tensor], AllreduceOptions()).wait()
            check()
            received = make(torch.zeros(shape))
            check = same([received], [values_of((rank - 1) % size, shape)])
            work = backend.send([make(values_of(rank, shape))], (rank + 1) % size, 0)
            backend.recv([received], (rank - 1) % size, 0).wait()
            work.wait()
            check()
            assert make is negated or torch.equal(received.imag, received.real)


def plain_sparse(dense: torch.Tensor) -> torch.Tensor:
    return dense.to_sparse()


def sparse_leaf(dense: torch.Tensor) -> torch.Tensor:
    return dense.to_sparse().requires_grad_()


def sparse_inference(dense: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return dense.to_sparse()


def sum_sparse_in_every_mode() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    dense = torch.zeros(50, 3)
    dense[rank :: size + 1] = rank + 1.0
    expected = torch.zeros(50, 3)
    for other in range(size):
        expected[other :: size + 1] += other + 1.0

    def start(make: Make, sync: bool) -> Started:
        tensor = make(dense)

        def check() -> None:
            assert torch.equal(tensor.detach().to_dense(), expected)
            assert tensor.is_leaf and tensor.requires_grad == (make is sparse_leaf)
            # What it holds now is of its own kind: it can be used as before.
            assert tensor.detach()._values().is_inference() == tensor.is_inference()
            assert tensor.detach()._indices().is_inference() == tensor.is_inference()

        return dist.all_reduce(tensor, async_op=not sync), check

    with ThreadPoolExecutor(1) as others:
        for make in (plain_sparse, sparse_leaf, sparse_inference):
            in_every_mode(lambda sync: start(make, sync), others)  # noqa: B023


def train_channels_last() -> None:
    """What every script does first, for a model whose parameters are not contiguous; then one step."""
    torch.manual_seed(dist.get_rank())
    model = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for parameter in model.parameters():
        dist.broadcast(parameter, src=0)
    weights = [torch.empty_like(model.weight) for _ in range(dist.get_world_size())]
    dist.all_gather(weights, model.weight)
    for other in weights:
        assert torch.equal(other, model.weight)
    model(torch.ones(1, 4, 5, 5)).sum().backward()
    dist.all_reduce(model.weight.grad)


def refuse_expanded() -> None:
    """Elements that share memory cannot each take a result; to read them is no problem."""
    size = dist.get_world_size()
    with pytest.raises(ValueError, match=r"all_reduce into a tensor that cannot be written to.*clone"):
        dist.all_reduce(torch.ones(1).expand(4))
    gathered = torch.empty(4 * size)
    dist.all_gather_into_tensor(gathered, torch.ones(1).expand(4))
    assert torch.equal(gathered, torch.ones(4 * size))
    tensor = torch.ones(1).expand(4) if dist.get_rank() == 1 else torch.zeros(4)
    dist.broadcast(tensor, 1)
    assert torch.equal(tensor, torch.ones(4))


def test_every_form_in_every_mode(pools: Pools) -> None:
    pools.get("1x2").run(call_in_every_form, deadline=90)


@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_negated_and_conjugated_views(pools: Pools, layout: str) -> None:
    pools.get(layout).run(use_lazy_views)


@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_sparse_sums_in_every_mode(pools: Pools, layout: str) -> None:
    pools.get(layout).run(sum_sparse_in_every_mode)


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_parameters_in_channels_last(pools: Pools, layout: str) -> None:
    pools.get(layout).run(train_channels_last)


def test_expanded_tensors(pools: Pools) -> None:
    pools.get("1x2").run(refuse_expanded)
