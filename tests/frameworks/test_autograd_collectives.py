"""torch.distributed.nn: collectives that autograd goes back through, by collectives of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.nn import functional

from harness import Pools
from support.training import over_both

collectives: Any = functional  # which has no annotations


def own_input(shape: tuple[int, ...] = (4, 3)) -> torch.Tensor:
    torch.manual_seed(dist.get_rank())
    return torch.randn(shape, requires_grad=True)


def own_inputs() -> list[torch.Tensor]:
    return [own_input().detach().mul(number + 1).requires_grad_() for number in range(dist.get_world_size())]


def gradients(outputs: list[torch.Tensor], inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs, and the gradients of a loss that weighs each element, and each rank, differently."""
    losses = [
        (output * torch.arange(1.0, output.numel() + 1).reshape(output.shape)).square().sum()
        for output in outputs
    ]
    (torch.stack(losses).sum() * (dist.get_rank() + 1)).backward()  # type: ignore[no-untyped-call]
    return [
        *(output.detach() for output in outputs),
        *(each.grad for each in inputs if each.grad is not None),
    ]


def all_reduce(group: dist.ProcessGroup) -> list[torch.Tensor]:
    x = own_input()
    return gradients([collectives.all_reduce(x.clone(), group=group)], [x])


def broadcast(group: dist.ProcessGroup) -> list[torch.Tensor]:
    x = own_input()
    return gradients([collectives.broadcast(x.clone(), 1, group)], [x])


def reduce(group: dist.ProcessGroup) -> list[torch.Tensor]:
    x = own_input()
    output = collectives.reduce(x.clone(), 1, group=group)
    # Of the root alone the result is defined; all ranks take part in the way back.
    return gradients([output * (dist.get_rank() == 1)], [x])


def all_gather(group: dist.ProcessGroup) -> list[torch.Tensor]:
    x = own_input()
    return gradients(list(collectives.all_gather(x, group)), [x])


def gather(group: dist.ProcessGroup) -> list[torch.Tensor]:
    x = own_input()
    outputs = list(collectives.gather(x, 1, group))
    return gradients([output * (dist.get_rank() == 1) for output in outputs], [x])


def scatter(group: dist.ProcessGroup) -> list[torch.Tensor]:
    inputs = own_inputs()
    return gradients([collectives.scatter(inputs, 1, group)], inputs)


def reduce_scatter(group: dist.ProcessGroup) -> list[torch.Tensor]:
    inputs = own_inputs()
    return gradients([collectives.reduce_scatter(torch.empty(4, 3), inputs, group=group)], inputs)


def all_to_all(group: dist.ProcessGroup) -> list[torch.Tensor]:
    inputs = own_inputs()
    outputs = [torch.empty(4, 3) for _ in inputs]
    return gradients(list(collectives.all_to_all(outputs, inputs, group)), inputs)


def all_to_all_single(group: dist.ProcessGroup) -> list[torch.Tensor]:
    size = dist.get_world_size()
    x = own_input((2 * size, 3))
    return gradients([collectives.all_to_all_single(torch.empty(2 * size, 3), x, group=group)], [x])


FORMS: list[Callable[[dist.ProcessGroup], list[torch.Tensor]]] = [
    all_reduce,
    broadcast,
    reduce,
    all_gather,
    gather,
    scatter,
    reduce_scatter,
    all_to_all,
    all_to_all_single,
]


def compare(name: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return over_both(globals()[name])


@pytest.mark.parametrize("form", [form.__name__ for form in FORMS])
@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_as_over_gloo(pools: Pools, layout: str, form: str) -> None:
    for ours, theirs in pools.get(layout).run(compare, form):
        assert len(ours) == len(theirs) >= 2
        torch.testing.assert_close(ours, theirs)
