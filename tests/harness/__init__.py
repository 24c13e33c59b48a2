"""Runs functions on N ranks in real processes, on one host or on several, and never waits without a deadline.

The parts, from the bottom up:

* layout: how many ranks run on each host.
* worker: what runs inside a rank's process: calls the functions that tests name and reports what happened.
* zygote: a process with torch imported that forks workers in milliseconds; one per network namespace.
* places: where ranks run: loopback with made-up host identities, or the namespaces of scripts/netlab.
* scene: hosts in namespaces too, with the interfaces, addresses and names that a test gives them.
* forward: connections to one port that end at another, as through a mapped port.
* overtaking: a wire between two hosts of the lab on which some packets come late.
* job: the ranks of one layout, seen from the test: submit, run, kill, stacks. Pools keep them between tests.
* proc: what /proc says about a process: its CPU time, descriptors, listening ports, memory.
* program: runs a program in a fresh interpreter, as a user does, with a deadline for all of its processes.
* tensors: inputs, exact references, and error bounds for collectives that reduce.
* strategies: what hypothesis draws the collectives' cases from.
* training: what the tests of DDP and of frameworks share: models, the comparison with gloo.
* faults: what the ranks of the fault tests do, and what every test of an error looks at.

The functions that ranks run are module-level functions of the test files, found again by name in the workers.
RING_TEST_BACKEND (default "ring") names the backend under test; "gloo" serves to debug the tests themselves.
"""

from harness.job import HangError, Job, Pools, RankError
from harness.layout import Layout
from harness.places import Lab, Loopback, Place
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
