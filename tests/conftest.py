"""What all Python tests share: places to run ranks and jobs that run there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
# Last: torch_ring is the one that is installed.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from harness import Job, Lab, Loopback, Pools
from support import PRELOADED, training

# The same examples on each run; a failing example is shown as it is: shrinking a hang would take hours.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def loopback() -> Iterator[Loopback]:
    place = Loopback(PRELOADED)
    yield place
    place.close()


@pytest.fixture(scope="session")
def pools(loopback: Loopback) -> Iterator[Pools]:
    """Running jobs on loopback, by layout: pools.get("2x2")."""
    pools = Pools(loopback)
    yield pools
    pools.close()


@pytest.fixture(scope="session")
def training_place() -> Iterator[Loopback]:
    """As `loopback`, for ranks that use what is built on the collectives."""
    place = Loopback(training.MODULES)
    yield place
    place.close()


@pytest.fixture(scope="session")
def training_pools(training_place: Loopback) -> Iterator[Pools]:
    pools = Pools(training_place)
    yield pools
    pools.close()


@pytest.fixture(scope="session")
def gloo_pools(training_place: Loopback) -> Iterator[Pools]:
    """As `training_pools` over gloo, to compare with where something works in the default group only."""
    pools = Pools(training_place, backend="gloo")
    yield pools
    pools.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need network namespaces, so that one who is not root can leave them out."""
    for item in items:
        if "namespaces" in getattr(item, "fixturenames", ()):
            item.add_marker("namespaces")


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Network namespaces can be made here; an error if not: nobody leaves tests out without saying so."""
    needs = "run as root" if os.geteuid() != 0 else "install iproute2"
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
        raise RuntimeError(f'this test makes network namespaces: {needs}, or leave out: -m "not namespaces"')


@pytest.fixture(scope="session")
def lab(namespaces: None) -> Iterator[Lab]:
    """A network lab of 4 hosts, unshaped."""
    place = Lab(4, "pytest", modules=PRELOADED)
    yield place
    place.close()


@pytest.fixture(scope="session")
def lab_pools(lab: Lab) -> Iterator[Pools]:
    """Running jobs in the lab, by layout."""
    pools = Pools(lab)
    yield pools
    pools.close()


@pytest.fixture
def launch(loopback: Loopback) -> Iterator[Callable[..., Job]]:
    """Starts jobs for this test alone: launch("2x2", env=..., rank_env=...). In no group yet: Job.init."""
    jobs: list[Job] = []

    def start(layout: str, **options: Any) -> Job:
        jobs.append(Job(loopback, layout, **options))
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill_all()
