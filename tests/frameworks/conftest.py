"""The ranks of these tests start with what training needs imported: see support.training.MODULES."""

from __future__ import annotations

import pytest

from harness import Pools


@pytest.fixture(scope="session")
def pools(training_pools: Pools) -> Pools:
    return training_pools
