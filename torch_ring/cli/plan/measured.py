"""What was measured, from a file, against what the cost model predicts for it. Called by plan.py.

The file holds {"machine": {...}, "measurements": [...]}, or the list alone. A measurement is
{"hosts", "ranks_per_host", "bytes", "seconds", "algorithm"} and, if it is not all_reduce, "collective"; the
machine is {"link": {"latency_s", "seconds_per_byte", "frame_s"}, "host": {"sync_s", "seconds_per_byte",
"reduce_seconds_per_byte"}, "stream_seconds_per_byte"}, of which all may be left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from torch_ring.errors import RingConfigError

if TYPE_CHECKING:
    from torch_ring._C import Machine

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "hosts": int,
    "ranks_per_host": int,
    "bytes": int,
    "seconds": (int, float),
    "algorithm": str,
    "collective": str,
}


# As csrc/ring/topology/cost_model.cc has them, and of a size that its integers hold.
_LARGEST = {"hosts": 1 << 24, "ranks_per_host": 1 << 16, "bytes": 1 << 60}


@dataclass(frozen=True)
class Measurement:
    """A call's time. `algorithm` is the one between hosts that it took."""

    hosts: int
    ranks_per_host: int
    bytes: int
    seconds: float
    algorithm: str
    collective: str


@dataclass(frozen=True)
class Comparison:
    """A measurement and what the model says of it."""

    measured: Measurement
    predicted_seconds: float
    chosen: str  # the algorithm that the model would have taken

    @property
    def error(self) -> float:
        """By which part of the measured time the prediction is too long; negative if too short."""
        return self.predicted_seconds / self.measured.seconds - 1


def read_measurements(path: Path, machine: Machine) -> list[Measurement]:
    """The measurements of a file; what it says of the machine goes into `machine`.

    Raises typer.BadParameter that names the file, the entry and what is wrong with it.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise _refusal(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise _refusal(f"{path} is not JSON: {error}") from error
    if isinstance(content, dict):
        unknown = content.keys() - {"machine", "measurements"}
        if unknown or "measurements" not in content:
            raise _refusal(f'{path}: allowed are "measurements" and "machine", not {sorted(content)}')
        _set_costs(machine, content.get("machine", {}), f"{path}, machine")
        content = content["measurements"]
    if not isinstance(content, list) or not content:
        raise _refusal(f"{path}: the measurements must be a list, and not empty")
    return [_measurement(entry, f"{path}, measurement {i}") for i, entry in enumerate(content)]


def compare(core: Any, measured: list[Measurement], machine: Machine) -> list[Comparison]:
    """Asks the model, `core` being torch_ring._C. Raises typer.BadParameter where an entry makes no sense."""
    comparisons = []
    for i, one in enumerate(measured):
        question = (one.collective, one.bytes, one.hosts, one.ranks_per_host, machine)
        try:
            predicted = core.choose(*question, algorithm=one.algorithm)
            chosen = core.choose(*question)
        except RingConfigError as error:
            raise _refusal(f"measurement {i}: {error}") from error
        comparisons.append(Comparison(one, predicted.seconds, chosen.plan.algorithm))
    return comparisons


def _measurement(entry: Any, where: str) -> Measurement:
    if not isinstance(entry, dict):
        raise _refusal(f"{where}: must be an object with {', '.join(_FIELDS)}")
    entry = {"collective": "all_reduce"} | entry
    for name, kind in _FIELDS.items():
        if name not in entry:
            raise _refusal(f'{where}: "{name}" is missing')
        if not isinstance(entry[name], kind) or isinstance(entry[name], bool):
            raise _refusal(f'{where}: "{name}" is {entry[name]!r}, of the wrong type')
    for name, largest in _LARGEST.items():
        if not 0 <= entry[name] <= largest:
            raise _refusal(f'{where}: "{name}" is {entry[name]}; allowed: 0 .. {largest}')
    if unknown := entry.keys() - _FIELDS.keys():
        raise _refusal(f"{where}: unknown are {', '.join(sorted(unknown))}")
    if not entry["seconds"] > 0:
        raise _refusal(f'{where}: "seconds" is {entry["seconds"]!r}; allowed: more than 0')
    return Measurement(**entry)


def _set_costs(target: Any, values: Any, where: str) -> None:
    """Sets the attributes that `values` names, and those of what they name in turn."""
    if not isinstance(values, dict):
        raise _refusal(f"{where}: must be an object")
    for name, value in values.items():
        current = None if name.startswith("_") else getattr(target, name, None)
        if current is None:
            allowed = ", ".join(name for name in dir(target) if not name.startswith("_"))
            raise _refusal(f'{where}: unknown is "{name}"; allowed: {allowed}')
        if not isinstance(current, float):
            _set_costs(current, value, f"{where}, {name}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
            setattr(target, name, float(value))
        else:
            raise _refusal(f'{where}: "{name}" is {value!r}; allowed: numbers from 0 on')


def _refusal(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--measured")
