"""The models of `torch-ring bench-ddp`: a transformer encoder, and one that only sleeps."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

HEADS = 8


def encoder(layers: int, width: int) -> nn.Module:
    """Transformer encoder layers; 8 of width 512 have 25.2 M parameters. No dropout: steps repeat."""
    return nn.Sequential(*(_layer(width) for _ in range(layers)))


def sleeper(layers: int, width: int, seconds: float) -> nn.Module:
    """The same parameters, in layers that sleep instead of computing: `seconds` for forward and backward.

    So the computation of a rank takes the same time however many ranks share a core. It also leaves the
    cores to communication, as computation would not.
    """
    return nn.Sequential(*(_Sleeper(_layer(width), seconds / layers) for _ in range(layers)))


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that the optimizer updates: where steps sleep, only as many as cost no time."""
    parameters = list(model.parameters())
    sleeps = any(isinstance(module, _Sleeper) for module in model.modules())
    return [parameter for parameter in parameters if parameter.ndim == 1 or not sleeps]


def _layer(width: int) -> nn.Module:
    return nn.TransformerEncoderLayer(width, HEADS, 4 * width, dropout=0.0, batch_first=True)


class _Sleeper(nn.Module):
    def __init__(self, layer: nn.Module, seconds: float) -> None:
        super().__init__()
        self._layer = layer
        self._seconds = seconds

    def forward(self, input: Tensor) -> Tensor:
        parameters = self._layer.parameters()
        output = _Sleep.apply(input, self._seconds, *parameters)  # type: ignore[no-untyped-call]
        assert isinstance(output, Tensor)
        return output


class _Sleep(torch.autograd.Function):
    """Sleeps a third of its time in forward and two in backward, as matrix products would share it.

    The output and the gradients are cheap to compute, and yet depend on the input and on the last parameter,
    so that ranks whose gradients were not averaged would diverge.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, seconds: float, *parameters: Tensor) -> Tensor:
        until = time.monotonic() + seconds / 3
        ctx.seconds = seconds
        output = input + parameters[-1]
        ctx.save_for_backward(output, *parameters)
        _sleep_until(until)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        until = time.monotonic() + 2 * ctx.seconds / 3
        output, *parameters = ctx.saved_tensors
        level = float(output.mean())
        filled = [torch.full_like(parameter, level) for parameter in parameters]
        _sleep_until(until)
        return gradients[0], None, *filled


def _sleep_until(deadline: float) -> None:
    time.sleep(max(0.0, deadline - time.monotonic()))
