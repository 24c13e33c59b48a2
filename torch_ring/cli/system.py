"""Describes the system that figures were measured on, and its present state."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import torch

import torch_ring
from torch_ring._backend import load

_PREFIXES = ("TORCH_RING_", "GLOO_", "NCCL_", "OMP_")


def describe() -> dict[str, str]:
    """What figures depend on, by name, as text."""
    return {
        "processor": _after("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "congestion control": _text("/proc/sys/net/ipv4/tcp_congestion_control"),
        "torch": torch.__version__,
        "torch_ring": f"{torch_ring.__version__}, reductions with {load().isa()}",
        "python": sys.version.split()[0],
    }


def settings() -> dict[str, str]:
    """The environment variables that steer the backends."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_PREFIXES)}


def cache_line_ns() -> float | None:
    """Nanoseconds, one way, of a cache-line ping-pong between two cores; None on one core or on busy ones.

    Virtual machines may move between cores that share a cache and cores that do not, which changes every
    figure of shared memory several times over: compare only what was measured in one state.
    """
    measured: float | None = load().cache_line_ping_pong()
    return measured


def host_identity() -> tuple[str, int]:
    """Equal on two ranks where they run on one host: one boot of a kernel, one network namespace."""
    return _text("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/net").stat().st_ino


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def _after(path: str, key: str) -> str:
    for line in _text(path).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
