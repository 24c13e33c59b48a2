"""Where Python's packages have CUDA's libraries: nvidia-nccl-cu12 and its like. Called when _C is loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def folders() -> list[str]:
    """The folders of shared libraries in the packages of `nvidia`, of whatever version; often none."""
    try:
        spec = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        return []  # somebody's module of that name
    found = []
    for place in (spec and spec.submodule_search_locations) or []:
        found += sorted(str(folder) for folder in Path(place).glob("*/lib") if folder.is_dir())
    return found
