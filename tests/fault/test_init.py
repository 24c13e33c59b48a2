"""A group that cannot be built says why, on every rank, within the timeout."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from harness import Job, init_group
from support.faults import check_all_raise, error_of

TIMEOUT = 3.0
LATE = 1.5


@pytest.mark.parametrize(
    ("layout", "missing"), [("1x4", {3}), ("1x4", {0}), ("4x1", {1, 2}), ("2+1", {2}), ("2x2", {0, 3})]
)
def test_ranks_that_never_join_are_named(launch: Callable[..., Job], layout: str, missing: set[int]) -> None:
    job = launch(layout)
    present = set(job.layout.ranks) - missing
    outcomes = job.submit(init_group, TIMEOUT, ranks=present).wait(TIMEOUT + 10)
    check_all_raise(job, outcomes, present, "RingTimeoutError", missing)
    for outcome in outcomes.values():
        assert outcome.seconds < TIMEOUT + LATE


@pytest.mark.parametrize("layout", ["1x3", "3x1", "2+1"])
def test_another_secret_is_no_member(launch: Callable[..., Job], layout: str) -> None:
    secrets = {0: "correct horse", 1: "correct horse", 2: "battery staple"}
    job = launch(layout, rank_env={rank: {"TORCH_RING_SECRET": secret} for rank, secret in secrets.items()})
    outcomes = job.outcomes(init_group, TIMEOUT, deadline=TIMEOUT + 10)
    for outcome in outcomes.values():
        message = error_of(outcome, "DistBackendError").message
        assert "TORCH_RING_SECRET" in message, message
        assert not re.search("horse|staple", message), "the message gives the secret away"
        assert outcome.seconds < TIMEOUT + LATE


def test_the_same_secret_is_a_member(launch: Callable[..., Job]) -> None:
    started = time.monotonic()
    launch("2+1", env={"TORCH_RING_SECRET": "correct horse"}).init(timeout=TIMEOUT)
    assert time.monotonic() - started < TIMEOUT
