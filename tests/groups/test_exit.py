"""The end of the interpreter is quick and quiet, whatever the program has left undone. See endings.py."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from groups import endings
from harness import BACKEND
from support.program import run_program

SLOWER = 2.0  # seconds more than gloo takes, on a busy machine
MISTAKE = r"ValueError: the user's own mistake"

# What the program ends with on each rank, where that is not 0 and silence.
EXPECTED: dict[str, list[tuple[int, str]]] = {
    "raises": [(1, MISTAKE), (1, MISTAKE)],
    "exits": [(3, ""), (3, "")],
    "raises_while_the_other_waits": [
        (1, r"torch_ring\.errors\.RingPeerError: rank 1 .* left the group.*"),
        (1, MISTAKE),
    ],
    "pending_when_it_raises": [(1, MISTAKE), (1, MISTAKE)],
    # The interpreter may end in the midst of what the thread says.
    "a_thread_waits": [
        (0, r"(torch_ring\.errors\.Ring(Aborted|Peer)Error: .*|(Exception|Traceback| ).*)?"),
        (0, ""),
    ],
}
# What gloo is the measure in: elsewhere it ends as quickly, or crashes.
MEASURE = ("many_groups",)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each rank, by "BACKEND:CASE"."""
    folder = tmp_path_factory.mktemp("endings")
    runs = [f"{BACKEND}:{case}" for case in endings.CASES] + [f"gloo:{case}" for case in MEASURE]
    found: dict[str, Any] = json.loads(run_program([endings.__file__, str(folder), *runs], folder))
    return found


def without_prefix(stderr: str) -> list[str]:
    """torch puts the rank before each line of a traceback."""
    return [re.sub(r"^\[rank\d+\]: ?", "", line) for line in stderr.splitlines()]


@pytest.mark.parametrize("case", endings.CASES)
def test_it_ends_with_the_right_code_and_no_noise(outcomes: dict[str, Any], case: str) -> None:
    expected = EXPECTED.get(case, [(0, ""), (0, "")])
    for rank, (code, last) in enumerate(expected):
        found = outcomes[f"{BACKEND}:{case}"][rank]
        assert found["code"] == code, f"rank {rank}: {found['stderr']}"
        lines = without_prefix(found["stderr"])
        assert re.fullmatch(last, lines[-1] if lines else ""), f"rank {rank}: {found['stderr']}"
        if lines:
            assert lines[0].startswith(("Traceback (most", "Exception in thread")), found["stderr"]
            for line in lines[1:-1]:
                assert line.startswith((" ", "Traceback (most")), f"rank {rank}: {found['stderr']}"


@pytest.mark.parametrize("case", endings.CASES)
def test_it_ends_soon(outcomes: dict[str, Any], case: str) -> None:
    gloo = max(rank["seconds"] for measure in MEASURE for rank in outcomes[f"gloo:{measure}"])
    for rank, found in enumerate(outcomes[f"{BACKEND}:{case}"]):
        assert found["seconds"] < gloo + SLOWER, f"rank {rank}; gloo takes {gloo} s"
