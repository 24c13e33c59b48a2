"""What ring does not do yet says so, by name, and leaves the group usable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from harness import Pools


def _parts() -> list[torch.Tensor]:
    return [torch.ones(4) for _ in range(dist.get_world_size())]


def _on_root(parts: list[torch.Tensor]) -> list[torch.Tensor] | None:
    return parts if dist.get_rank() == 0 else None


CALLS: dict[str, Callable[[], object]] = {
    "all_to_all": lambda: dist.all_to_all(_parts(), _parts()),
    "all_to_all_single": lambda: dist.all_to_all_single(torch.cat(_parts()), torch.cat(_parts())),
    "gather": lambda: dist.gather(torch.ones(4), _on_root(_parts()), dst=0),
    "scatter": lambda: dist.scatter(torch.ones(4), _on_root(_parts()), src=0),
    "reduce": lambda: dist.reduce(torch.ones(4), dst=0),
    "send": lambda: dist.send(torch.ones(4), dst=(dist.get_rank() + 1) % dist.get_world_size()),
    "recv": lambda: dist.recv(torch.ones(4), src=(dist.get_rank() + 1) % dist.get_world_size()),
}


def call_unsupported(name: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"\b{name.removesuffix('_single')}"):
        CALLS[name]()
    total = torch.ones(1)
    dist.all_reduce(total)
    assert int(total) == dist.get_world_size()


@pytest.mark.parametrize("name", CALLS)
def test_not_there_yet(pools: Pools, name: str) -> None:
    pools.get("2+1").run(call_unsupported, name)
