"""Runs functions on N ranks in real processes, on one host or on several, and never waits without a deadline.

For the tests and the benchmarks, of which it imports nothing. The parts, from the bottom up:

* layout: how many ranks run on each host.
* worker: what runs inside a rank's process: calls the functions that it is told and reports what happened.
* zygote: a process with torch imported that forks workers in milliseconds; one per network namespace.
* places: where ranks run; loopback, with made-up host identities.
* lab: the place whose hosts are the network namespaces of scripts/netlab.
* job: the ranks of one layout, seen from outside: submit, run, kill, stacks. Pools keep them for later.
* proc: what /proc says about a process: its CPU time, descriptors, listening ports, memory.

The functions that ranks run are module-level functions, found again by name in the workers.
RING_TEST_BACKEND (default "ring") names the backend under test; "gloo" serves to debug the tests themselves.
"""

from harness.job import HangError, Job, Pools, RankError
from harness.lab import Lab
from harness.layout import Layout
from harness.places import Loopback, Place
from harness.worker import BACKEND, Outcome, RemoteError, init_group

__all__ = [
    "BACKEND",
    "HangError",
    "Job",
    "Lab",
    "Layout",
    "Loopback",
    "Outcome",
    "Place",
    "Pools",
    "RankError",
    "RemoteError",
    "init_group",
]
