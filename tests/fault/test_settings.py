"""Wrong settings are refused by name with what is allowed; unknown ones earn a warning that knows better."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Job, init_group
from support.faults import error_of
from support.program import run_program


def init_and_collect_warnings() -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        init_group()
    return [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("TORCH_RING_LOG_LEVEL", "loud", ("error", "info")),
        ("TORCH_RING_ISA", "mmx", ("portable",)),
        ("TORCH_RING_CHUNK_BYTES", "12", ("4096 .. 16777216",)),
        ("TORCH_RING_SIZE_TABLE", "all_reduce: 0-8K magic", ("magic", "doubling", "ring")),
        ("TORCH_RING_LINK", "fast", ("Gbit/s", "microseconds", "25,50")),
        ("TORCH_RING_CONGESTION", "warp", ("tcp_allowed_congestion_control",)),
    ],
)
def test_a_wrong_value(launch: Callable[..., Job], name: str, value: str, allowed: tuple[str, ...]) -> None:
    for outcome in launch("2x1", env={name: value}).outcomes(init_group).values():
        error = error_of(outcome, "RingConfigError")
        assert error.is_a("ValueError")
        for text in (name, value, *allowed):
            assert text in error.message, f"{text!r} is not in {error.message!r}"


def test_an_unknown_name(launch: Callable[..., Job]) -> None:
    for messages in launch("1x2", env={"TORCH_RING_LOG_LEVLE": "info"}).run(init_and_collect_warnings):
        assert any("TORCH_RING_LOG_LEVLE" in each and "TORCH_RING_LOG_LEVEL" in each for each in messages)


def test_known_names_earn_no_warning(launch: Callable[..., Job]) -> None:
    for messages in launch("2x1", env={"TORCH_RING_LOG_LEVEL": "error"}).run(init_and_collect_warnings):
        assert not [each for each in messages if "TORCH_RING" in each]


@pytest.mark.parametrize(
    ("setting", "texts"),
    [
        (
            "TORCH_RING_STREAMS=1,4,1",
            ("rank 1 has TORCH_RING_STREAMS='4'", "rank 0 has TORCH_RING_STREAMS='1'"),
        ),
        ("TORCH_RING_LINK=fast,25,25", ("TORCH_RING_LINK", "fast")),
    ],
)
def test_all_hear_of_it_where_the_store_ends_with_the_first_rank(
    tmp_path: Path, setting: str, texts: tuple[str, ...]
) -> None:
    program = Path(__file__).with_name("own_store.py")
    errors = run_program([str(program), setting], tmp_path).splitlines()
    assert len(errors) == 3
    for error in errors:
        assert error.startswith(("RingConfigError", "RingPeerError")), error
        for text in texts:
            assert text in error
