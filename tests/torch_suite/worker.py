"""Runs torch's suite over one backend at one world size, in a process of its own, for __main__.py.

The suite decides when it is imported which tests a backend is fit for, by the name in the environment. So it
is imported under the name of a backend whose tests are wanted (`like`), and told the real name afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any


class Named(str):
    """The real name, which the test bodies also take for the one that they know."""

    like: str
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) or other == self.like

    def __ne__(self, other: object) -> bool:
        return not self == other


def load_suite(backend: str, like: str) -> type[unittest.TestCase]:
    """The suite's test class for `backend`, with the tests that are meant for `like`."""
    os.environ["BACKEND"] = like
    import torch.testing._internal.common_distributed as common

    cases: Any = common.DistTestCases
    for table in (cases.skip_collective, cases.backend_feature):
        for members in table.values():
            # What gloo can do, ring can; mpi's tests are wanted for what gloo cannot do.
            if "gloo" in members:
                members.update((backend, like))
    import torch
    import torch.testing._internal.distributed.distributed_test as suite

    name = Named(backend)
    name.like = like
    suite.BACKEND = name
    os.environ["BACKEND"] = backend
    for titles in (suite.PROFILING_SUPPORTED_BACKENDS, suite.SEND_RECV_PROFILING_SUPPORTED_BACKENDS):
        titles.append(backend)

    base: Any = suite.TestDistBackend

    class TestDist(base, suite.DistributedTest._DistTestBase):  # type: ignore[misc]
        def setUp(self) -> None:
            super().setUp()
            # Forked, not spawned as upstream: importing torch again would take ten times as long as the test.
            self._start_processes(torch.multiprocessing.get_context("fork").Process)

    return TestDist


class Recorder(unittest.TestResult):
    """Writes down each test's outcome at once, so that a run that is killed has told what it did."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._records: dict[str, dict[str, object]] = {}
        self._started = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._started = time.monotonic()
        self._put(test, "fail", "it did not end: the run was stopped")

    def _put(self, test: unittest.TestCase, status: str, why: str = "") -> None:
        seconds = round(time.monotonic() - self._started, 2)
        name = test.id().rsplit(".", 1)[-1]
        self._records[name] = {"status": status, "seconds": seconds, "why": why[-4000:]}
        self._path.write_text(json.dumps(self._records))

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._put(test, "pass")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._put(test, "skip", reason)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._put(test, "fail", self.failures[-1][1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._put(test, "fail", self.errors[-1][1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", required=True)
    parser.add_argument("--like", required=True)
    parser.add_argument("--world-size", required=True)
    parser.add_argument("--timeout", required=True, help="seconds that one test may take")
    parser.add_argument("--patterns", nargs="*", default=[])
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()

    os.environ["WORLD_SIZE"] = options.world_size
    os.environ["DISTRIBUTED_TESTS_DEFAULT_TIMEOUT"] = options.timeout
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory(prefix="torch_suite") as folder:
        os.environ["TEMP_DIR"] = folder
        case = load_suite(options.backend, options.like)
        names = unittest.TestLoader().getTestCaseNames(case)
        if options.patterns:
            names = [name for name in names if any(pattern in name for pattern in options.patterns)]
        index, count = (int(number) for number in options.shard.split("/"))
        options.json.write_text("{}")
        unittest.TestSuite(case(name) for name in names[index::count]).run(Recorder(options.json))


if __name__ == "__main__":
    main()
