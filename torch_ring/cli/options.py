"""How the commands read their options. Bad input ends them with exit code 2, before any rank is started."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import torch
import torch.distributed as dist
import typer

from torch_ring.cli.core import core

RanksOption = Annotated[
    int | None, typer.Option(min=1, help="Ranks to start here (2), unless a launcher starts them.")
]
BackendsOption = Annotated[
    str, typer.Option(help="Backends to compare; the first is the measure for the others.")
]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def refuse(option: str, message: str) -> typer.BadParameter:
    """The error to raise for an option's value."""
    return typer.BadParameter(message, param_hint=option)


def names(option: str, text: str, allowed: Collection[str]) -> list[str]:
    """A list with commas between, each of it allowed and none twice."""
    values = [value.strip() for value in text.split(",")]
    for value in values:
        if value not in allowed:
            raise refuse(option, f"'{value}': allowed are {', '.join(allowed)}")
    if len(set(values)) < len(values):
        raise refuse(option, f"'{text}' names one twice")
    return values


def backends(text: str, under_launcher: bool) -> list[str]:
    """Names of backends that this torch can make a group of."""
    known = [name for name in dist.Backend.backend_list if name not in (dist.Backend.UNDEFINED, "fake")]
    values = names("--backends", text, known)
    for value in values:
        if not dist.is_backend_available(value):
            raise refuse("--backends", f"'{value}': torch {torch.__version__} was built without it")
        if device_type(value) == "cuda" and not torch.cuda.is_available():
            raise refuse("--backends", f"'{value}' needs a GPU, and torch finds none")
    if "mpi" in values and not under_launcher:
        raise refuse("--backends", "'mpi': start the ranks with mpirun, and give them RANK and WORLD_SIZE")
    return values


def device_type(backend: str) -> str:
    """The kind of device whose tensors a backend is measured with: the CPU, if it can."""
    capable = dist.Backend.backend_capability[backend]
    return "cpu" if "cpu" in capable else capable[0]


def sizes(text: str) -> list[int]:
    """Bytes, from "4,64K,16M"."""
    values = []
    for value in text.split(","):
        found = re.fullmatch(r"([1-9][0-9]*)([KMG]?)", value.strip().upper())
        if not found:
            raise refuse("--sizes", f"'{value.strip()}': allowed are sizes such as 4, 64K, 16M, 1G")
        values.append(int(found[1]) * _UNITS[found[2]])
    return values


def dtype(text: str) -> torch.dtype:
    allowed = core().dtypes()
    if text not in allowed:
        raise refuse("--dtype", f"'{text}': allowed are {', '.join(allowed)}")
    value = getattr(torch, text)
    assert isinstance(value, torch.dtype)
    return value


def has_launcher() -> bool:
    """Whether torchrun or the like has started this process as a rank."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def check_ranks(ranks: int | None) -> int:
    """How many ranks there are: what --ranks says, or the launcher, which must not say otherwise."""
    if not has_launcher():
        return ranks or 2
    world = os.environ["WORLD_SIZE"]
    if ranks is not None and str(ranks) != world:
        raise refuse("--ranks", f"{ranks}, but WORLD_SIZE={world}: the launcher decides; leave --ranks out")
    return int(world)


def need_matplotlib(option: str) -> None:
    """For an option that draws. Nothing else imports matplotlib: it takes a second, and may not be there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        install = "pip install 'torch-ring[bench]'"
        raise refuse(option, f"needs matplotlib ({error}); install: {install}") from error


def output(option: str, path: Path | None, folder: bool) -> Path | None:
    """A file or folder to write to when all is done; its folder is made now, so that errors come now."""
    if path is None:
        return None
    parent = path if folder else path.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refuse(option, f"cannot make the folder '{parent}': {error.strerror}") from error
    if not os.access(parent, os.W_OK):
        raise refuse(option, f"cannot write to the folder '{parent}'")
    return path
