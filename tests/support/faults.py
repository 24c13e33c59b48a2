"""What the ranks of the fault tests do, and what every test of an error looks at."""

from __future__ import annotations

import re
import time

import torch
import torch.distributed as dist

from harness.job import Job
from harness.worker import Outcome, RemoteError

LAYOUTS = ("1x4", "4x1", "2x2", "2+1")
LARGE = 8_000_000  # elements of float32: many frames, and far more than sockets and shared segments buffer


def reduce_once(numel: int = 1000) -> float:
    tensor = torch.full((numel,), float(dist.get_rank()))
    dist.all_reduce(tensor)
    return float(tensor[-1])


def reduce_forever(numel: int) -> None:
    """Until it raises: whenever something happens to a rank, the others are inside a collective."""
    tensor = torch.zeros(numel)
    while True:
        dist.all_reduce(tensor)


def destroy_in_time() -> float:
    """Seconds that destroy_process_group takes."""
    started = time.monotonic()
    dist.destroy_process_group()
    return time.monotonic() - started


def error_of(outcome: Outcome, type_name: str) -> RemoteError:
    """The error that `outcome` must be: of the type, and a DistBackendError as all of torch's own are."""
    error = outcome.error
    assert error, f"no error, but {outcome.value!r}"
    assert error.is_a(type_name), f"{error.type_name} instead of {type_name}:\n{error.traceback}"
    assert error.is_a("DistBackendError"), error.ancestors
    return error


def names_ranks(message: str, ranks: set[int]) -> bool:
    """Whether the message names each of the ranks: "rank 3", "ranks 1 and 3", "ranks did not join: 1, 3"."""
    lists = re.findall(r"\branks?(?: [a-z ]+:)? (\d+(?:(?:, | and |, and )\d+)*)", message)
    return ranks <= {int(number) for each in lists for number in re.findall(r"\d+", each)}


def check_all_raise(
    job: Job, outcomes: dict[int, Outcome], ranks: set[int], type_name: str, named: set[int]
) -> None:
    """Each of `ranks` raised the error, named the culprits, and lives on."""
    assert set(outcomes) == ranks
    for rank, outcome in outcomes.items():
        error = error_of(outcome, type_name)
        assert names_ranks(error.message, named), f"rank {rank} does not name {named}: {error.message}"
        assert job.alive(rank)
