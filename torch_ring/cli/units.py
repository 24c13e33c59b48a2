"""Rates, times and sizes, as the commands read and write them."""

from __future__ import annotations

import math
import re

import typer

_BITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12}
_BYTES = {
    "B": 1.0,
    **{f"{letter}B": 1000.0**power for power, letter in enumerate("KMGT", start=1)},
    **{f"{letter}iB": 1024.0**power for power, letter in enumerate("KMGT", start=1)},
}
_TIMES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(.*)", re.DOTALL)


def _split(text: str, allowed: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a number with a unit; allowed: {allowed}")
    return float(match[1]), match[2]


def parse_rate(text: str) -> float:
    """Bytes per second of "25gbit", "10 Gbit/s", "20GB/s". Raises typer.BadParameter."""
    allowed = f"bit, kbit, mbit, gbit, tbit (in any case), {', '.join(_BYTES)}; with or without /s"
    number, unit = _split(text, allowed)
    unit = unit.removesuffix("/s")
    bytes_per_second = number * _BYTES.get(unit, _BITS.get(unit.lower(), math.nan) / 8)
    if math.isnan(bytes_per_second):
        raise typer.BadParameter(f"{text!r}: unknown unit {unit!r}; allowed: {allowed}")
    if bytes_per_second == 0:
        raise typer.BadParameter(f"{text!r}: a rate must be more than 0")
    return bytes_per_second


def parse_time(text: str) -> float:
    """Seconds of "50us", "1.5 ms". Raises typer.BadParameter."""
    allowed = ", ".join(_TIMES)
    number, unit = _split(text, allowed)
    if unit not in _TIMES:
        raise typer.BadParameter(f"{text!r}: unknown unit {unit!r}; allowed: {allowed}")
    return number * _TIMES[unit]


def parse_size(text: str) -> int:
    """Bytes of "100MB" (10^6 each), "64KiB" (1024 each), "8B". Raises typer.BadParameter."""
    allowed = ", ".join(_BYTES)
    number, unit = _split(text, allowed)
    if unit not in _BYTES:
        raise typer.BadParameter(f"{text!r}: unknown unit {unit!r}; allowed: {allowed}")
    size = number * _BYTES[unit]
    if size > 2**60:
        raise typer.BadParameter(f"{text!r} is more than 2^60 bytes")
    if size != int(size):
        raise typer.BadParameter(f"{text!r} is no whole number of bytes")
    return int(size)


def _scaled(value: float, units: list[tuple[float, str]]) -> str:
    """In the largest of the units, largest first, that leaves at least 1; three significant digits."""
    if value == 0:
        return f"0 {units[-1][1]}"
    # What would be written as 1000 of a smaller unit is 1.00 of this one.
    scale, name = next(((s, n) for s, n in units if value >= 0.9995 * s), units[-1])
    number = value / scale
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {name}"


def show_time(seconds: float) -> str:
    """ "75.1 ms" """
    return _scaled(seconds, [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")])


def show_bytes(count: float) -> str:
    """In decimal units: "199 MB"."""
    return _scaled(count, [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1.0, "B")])


def show_rate(bytes_per_second: float) -> str:
    """A link's, in bits: "25 Gbit/s"."""
    bits = bytes_per_second * 8
    scale, name = next(((s, n) for s, n in ((1e9, "Gbit/s"), (1e6, "Mbit/s")) if bits >= s), (1e3, "kbit/s"))
    return f"{bits / scale:.4g} {name}"


def show_binary(count: int) -> str:
    """Exact, in binary units: "64 KiB", "1120 KiB", "7040 B"."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB"):
        if count == 0 or count % 1024:
            break
        count //= 1024
        unit = larger
    return f"{count} {unit}"


def significant(value: float) -> str:
    """Three significant digits, but no more than three decimals."""
    decimals = next((n for n, from_ in enumerate((99.95, 9.995, 0.9995)) if value >= from_), 3)
    return f"{value:.{decimals}f}"
