"""torch.distributed._dist2, before torch 2.14: groups that are objects, outside its table of groups."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from harness import Job

_dist2 = pytest.importorskip("torch.distributed._dist2", reason="torch 2.14 has dropped it")

TIMEOUT = timedelta(seconds=20)


def use_groups() -> None:
    """Two, one after the other, and one inside: each adds up, and knows what it was made with."""
    for number in range(2):
        group = _dist2.new_group("ring", TIMEOUT, "cpu", chunk_bytes=8192 << number)
        rank, size = group.rank(), group.size()
        tensor = torch.full((1000,), float(rank))
        group.allreduce(tensor).wait()
        assert torch.equal(tensor, torch.full((1000,), float(sum(range(size)))))
        backend = group._get_backend(torch.device("cpu"))
        assert backend.options.chunk_bytes == 8192 << number
        with _dist2.process_group(group):
            assert _dist2.current_process_group() is group
        odd = [r for r in range(size) if r % 2 == 1]
        part = group.split_group(odd, timeout=TIMEOUT)
        assert (part is not None) == (rank in odd)
        if part is not None:
            tensor = torch.ones(3)
            part.allreduce(tensor).wait()
            assert int(tensor[0]) == len(odd)
        group.barrier().wait()
        group.shutdown()
    assert not dist.is_initialized()


def refuse_unknown_settings() -> None:
    with pytest.raises(TypeError, match="no setting 'chunk'"):
        _dist2.new_group("ring", TIMEOUT, "cpu", chunk=1)


@pytest.mark.parametrize("layout", ["1x4", "2+1"])
def test_groups(launch: Callable[..., Job], layout: str) -> None:
    launch(layout).run(use_groups)


def test_unknown_settings_are_refused(launch: Callable[..., Job]) -> None:
    launch("1x1").run(refuse_unknown_settings)
