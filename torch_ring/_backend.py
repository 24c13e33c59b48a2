"""Registers the backend and makes process groups of it; loads the compiled module when the first one is made.

No torch at module scope: `import torch_ring` and `import torch` each lead into the other, whichever comes
first.
"""

from __future__ import annotations

import atexit
import copy
import functools
import multiprocessing
import os
import sys
import warnings
import weakref
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from torch_ring._libraries import folders
from torch_ring._refusal import refuse_without_module

NAME = "ring"
_IMPORTED_BY = os.getpid()
_leaves: Any = None  # what shuts all groups down when this child of multiprocessing ends
_REBUILD = (
    "Rebuild it for the torch you use: "
    "pip install --no-build-isolation --no-deps --force-reinstall <torch_ring>"
)


def register() -> None:
    """Make `init_process_group("ring")` work. A second call does nothing."""
    import torch
    import torch.distributed as dist

    if not dist.is_available() or NAME.upper() in dist.Backend._plugins:
        return
    # On a torch without CUDA, naming cuda would make some of torch's helpers prefer a missing device.
    devices = ["cpu", "cuda"] if torch.version.cuda or torch.version.hip else ["cpu"]
    dist.Backend.register_backend(NAME, _create, extended_api=True, devices=devices)
    _see_to_the_end()
    try:
        from torch.distributed import _dist2
    except ImportError:
        return  # experimental, and gone since 2.14
    _dist2.register_backend(NAME, _create_dist2)


def check_torch_version(built: str, running: str) -> None:
    """Raise ImportError where `_C` was built for another torch than the one that runs.

    c10d has no stable binary interface: a module for another release of torch crashes, sooner or later.
    Builds of one release for CPU and for CUDA are interchangeable, so what follows "+" does not matter.
    """
    if built.split("+")[0] != running.split("+")[0]:
        raise ImportError(
            f"torch_ring was built for torch {built}, but torch {running} is running. {_REBUILD}"
        )


@functools.cache
def load() -> ModuleType:
    """Load torch_ring._C and check the environment. Raises ImportError or RingConfigError."""
    import torch

    try:
        # Written by the build. Asked first, because a module for another torch may crash when it is loaded.
        from torch_ring import _build

    except ImportError as error:
        raise ImportError(
            f"the torch_ring in {Path(__file__).parent} has not been built ({error}). If another one is "
            f"installed, run Python outside of that folder's parent, whose torch_ring hides it. {_REBUILD}"
        ) from error
    check_torch_version(_build.TORCH_VERSION, torch.__version__)
    try:
        from torch_ring import _C
    except ImportError as error:
        raise ImportError(
            f"the compiled module of torch_ring cannot be loaded: {error}. {_REBUILD}"
        ) from error
    _C.set_library_folders(folders())
    for warning in _C.check_environment():
        warnings.warn(warning, UserWarning, stacklevel=2)
    return _C


_hooks_to_come: list[str] = []


def _see_to_the_end() -> None:
    """Have the groups left when the interpreter ends, after all clean-ups that may still use them.

    What is registered first runs last, so this happens when torch is imported. There are two orders: that of
    atexit, and that of weakref.finalize, which has one place in the other, known only at the end. Whichever
    hook comes second leaves the groups. A clean-up from before `import torch` comes later still, and finds
    them left: no place is behind it at which threads may still run Python's callbacks.
    """
    _hooks_to_come.extend(("atexit", "finalize"))
    atexit.register(_end_hook)
    weakref.finalize(_end_hook, _end_hook)


def _end_hook() -> None:
    _hooks_to_come.pop()
    module = sys.modules.get("torch_ring._C")
    if not _hooks_to_come and module is not None:
        # Peers that still wait for this rank learn that it left; without this they would learn that it died.
        module.shutdown_all()


def _leave_with_multiprocessing(module: ModuleType) -> None:
    """See to an orderly end of a child of multiprocessing that was forked, which ends without atexit.

    With every group: what was registered before a fork is forgotten in the child.
    """
    if multiprocessing.parent_process() is None or _was_spawned():
        return
    from multiprocessing import util

    global _leaves
    if _leaves is None or not _leaves.still_active():
        # The last of all: what the user has registered there may still communicate.
        _leaves = util.Finalize(None, module.shutdown_all, exitpriority=-1_000_000)


def _was_spawned() -> bool:
    """Whether multiprocessing started this process as a new interpreter, which ends like any other.

    Its children by fork have the same command line, but not the same number.
    """
    return "--multiprocessing-fork" in sys.orig_argv and os.getpid() == _IMPORTED_BY


def _create(options: Any, pg_options: Any) -> Any:
    """Called by torch.distributed on every rank of a new group."""
    try:
        module = load()
        _leave_with_multiprocessing(module)
        settings = _settings(module, options, pg_options)
    except ImportError as error:
        refuse_without_module(options, str(error))
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        _refuse(options, error)
        raise
    return module.RingBackend(options.store, options.group_rank, options.group_size, settings)


def _settings(module: ModuleType, options: Any, pg_options: Any) -> Any:
    if not isinstance(options.timeout, timedelta):
        raise TypeError(f"ring: the timeout must be a timedelta, not {type(options.timeout).__name__}")
    if pg_options is None:
        settings = module.Options()
    elif isinstance(pg_options, module.Options):
        settings = copy.copy(pg_options)
    else:
        raise TypeError(f"ring: pg_options must be a torch_ring.Options, not {type(pg_options).__name__}")
    # As with torch's own backends the `timeout` argument is what counts.
    settings._timeout = options.timeout
    settings.global_ranks_in_group = list(options.global_ranks_in_group)
    settings.group_name = options.group_id
    return settings


def _refuse(options: Any, error: Exception) -> None:
    """Let the ranks that wait for this one know why it does not come."""
    from torch_ring import _C

    ranks = list(options.global_ranks_in_group)
    _C.RingBackend.refuse(
        options.store, options.group_rank, options.group_size, ranks, options.group_id, str(error)
    )


def _create_dist2(
    store: Any, rank: int, world_size: int, timeout: timedelta, device: Any, **settings: Any
) -> Any:
    """Called by torch.distributed._dist2.new_group("ring", ...); `settings` are those of Options."""
    import torch
    from torch.distributed import ProcessGroup

    module = load()
    _leave_with_multiprocessing(module)
    options = module.Options(**settings)
    options._timeout = timeout
    backend = module.RingBackend(store, rank, world_size, options)
    group = ProcessGroup(store, rank, world_size)
    group._set_default_backend(ProcessGroup.BackendType.CUSTOM)
    for each in {device.type, "cpu"}:
        group._register_backend(torch.device(each), ProcessGroup.BackendType.CUSTOM, backend)
    return group
