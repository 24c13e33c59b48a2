"""A rank that cannot load the compiled module lets the ranks that wait for it know, in Python.

The keys are those of csrc/ring/engine/rendezvous.h, whose give_up() does the same for all other reasons.
"""

from __future__ import annotations

import os
import platform
import time
from typing import Any

_STAY = 1.0  # seconds that rank 0 waits until the others have heard: the store of most jobs ends with it
_LOOK = 0.005


def refuse_without_module(options: Any, why: str) -> None:
    """Have the other ranks raise with these words; `options` are those that torch makes a group with."""
    store, rank = _meeting_place(options), options.group_rank
    ranks = list(options.global_ranks_in_group) or list(range(options.group_size))
    who = f"rank {ranks[rank]} (host {platform.node()}, pid {os.getpid()})"
    text = f"kind=own\nfailed={who} could not join the group: {' '.join(why.split())}\n"
    card = f"{text}attempt={os.urandom(16).hex()}\n"
    try:
        number = int(store.compare_set("ring/round", "", "0"))
        while store.compare_set(f"ring/{number}/card/{rank}", "", card) != card.encode():
            # An earlier attempt of this rank was there.
            number = int(store.compare_set("ring/round", str(number), str(number + 1)))
        store.compare_set(f"ring/{number}/failed", "", text)
        heard = [f"ring/{number}/heard/{other}" for other in range(len(ranks)) if other != rank]
        end = time.monotonic() + _STAY
        while rank == 0 and not store.check(heard) and time.monotonic() < end:
            time.sleep(_LOOK)
    except RuntimeError:
        pass  # the store is out of reach, for the others too


def _meeting_place(options: Any) -> Any:
    """As meeting_place() of csrc/c10d/backend.cc, which says why."""
    from torch._C._distributed_c10d import PrefixStore

    if options.global_ranks_in_group or not options.group_id.isdigit():
        return options.store
    store = options.store
    for _ in range(2):
        if not isinstance(store, PrefixStore):
            return options.store
        store = store.underlying_store
    return PrefixStore("ring of all ranks", store)
