"""Where Python's packages have CUDA's libraries: nvidia-nccl-cu12 and its like. Called when _C is loaded."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def folders() -> list[bytes]:
    """The folders of shared libraries in the packages of `nvidia`, of whatever version; often none.

    Never raises: most jobs have no need of them. Bytes, since a path need not be text.
    """
    try:
        spec = importlib.util.find_spec("nvidia")
        places = (spec and spec.submodule_search_locations) or []
        return [
            os.fsencode(folder)
            for place in places
            for folder in sorted(Path(place).glob("*/lib"))
            if folder.is_dir()
        ]
    except Exception:
        return []  # somebody's module of that name, or folders that cannot be read
