"""Distributed checkpoints: saved by some ranks, plainly and asynchronously, and loaded by more or fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_checkpoint
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.checkpoint.state_dict_saver import save as save_checkpoint
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from harness import Pools
from support.training import batches, make_model


def make(seed: int) -> tuple[Any, torch.optim.Optimizer]:
    """A model that all ranks share, and its optimizer."""
    model: Any = make_model(seed)
    fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    return model, torch.optim.Adam(model.parameters(), lr=0.01)


def step(model: Any, optimizer: torch.optim.Optimizer, inputs: torch.Tensor) -> None:
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()


def whole(state: Any) -> list[torch.Tensor]:
    """All tensors of a state, put together again, in order."""
    if isinstance(state, dict):
        return [tensor for _, value in sorted(state.items()) for tensor in whole(value)]
    if isinstance(state, DTensor):
        return [state.full_tensor().detach().flatten()]
    return [state.detach().flatten()] if isinstance(state, torch.Tensor) else []


def snapshot(model: Any, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    weights, moments = get_state_dict(model, optimizer)
    return torch.cat(whole(weights) + whole(moments["state"]))


def save(folder: str, asynchronous: bool) -> torch.Tensor:
    """What was saved: the optimizer goes on while an asynchronous save is still writing."""
    model, optimizer = make(seed=1)
    for inputs in batches(2):
        step(model, optimizer, inputs)
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments, "note": "as saved"}
    saved = snapshot(model, optimizer)
    if asynchronous:
        own_group = dist.new_group()  # for the thread that writes: the default group is busy
        writing: Any = async_save(state, checkpoint_id=folder, process_group=own_group)
        step(model, optimizer, batches(3)[2])
        writing.result()
        dist.destroy_process_group(own_group)
        assert not torch.equal(saved, snapshot(model, optimizer))
    else:
        save_checkpoint(state, checkpoint_id=folder)
    return saved


def load(folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What was loaded into a model that differed, and the model after another step."""
    model, optimizer = make(seed=2)
    step(model, optimizer, batches(1)[0])
    weights, moments = get_state_dict(model, optimizer)
    state: Any = {"model": weights, "optimizer": moments, "note": ""}
    load_checkpoint(state, checkpoint_id=folder)
    assert state["note"] == "as saved"
    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=StateDictOptions(strict=True),
    )
    loaded = snapshot(model, optimizer)
    step(model, optimizer, torch.ones(4, 20))
    return loaded, snapshot(model, optimizer)


def broadcast_full_state() -> list[torch.Tensor]:
    """Rank 0 alone has the state, as after torch.load; the others get their shards of it."""
    state = make_model(seed=3).state_dict() if dist.get_rank() == 0 else {}
    model, _ = make(seed=4)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, state, options=options)
    return whole(model.state_dict())


@pytest.mark.parametrize("asynchronous", [False, True], ids=["save", "async_save"])
def test_other_world_sizes(pools: Pools, gloo_pools: Pools, tmp_path: Path, asynchronous: bool) -> None:
    ours, theirs = tmp_path / "ring", tmp_path / "gloo"
    saved = pools.get("2+1").run(save, str(ours), asynchronous)
    gloo_pools.get("2+1").run(save, str(theirs), asynchronous)
    assert sorted(file.name for file in ours.iterdir()) == sorted(file.name for file in theirs.iterdir())
    results = pools.get("1x2").run(load, str(ours)) + pools.get("2x2").run(load, str(ours))
    results += gloo_pools.get("1x2").run(load, str(ours))  # and what ring saved, gloo reads
    for loaded, trained in results:
        assert torch.equal(loaded, saved[0])
        torch.testing.assert_close(trained, results[0][1])


def test_gloos_checkpoints_load(pools: Pools, gloo_pools: Pools, tmp_path: Path) -> None:
    saved = gloo_pools.get("1x2").run(save, str(tmp_path), False)
    for loaded, _ in pools.get("2+1").run(load, str(tmp_path)):
        assert torch.equal(loaded, saved[0])


@pytest.mark.parametrize("layout", ["1x2", "2+1"])
def test_full_state_from_one_rank(pools: Pools, layout: str) -> None:
    expected = whole(make_model(seed=3).state_dict())
    for loaded in pools.get(layout).run(broadcast_full_state):
        assert len(loaded) == len(expected)
        assert all(torch.equal(mine, wanted) for mine, wanted in zip(loaded, expected, strict=True))
