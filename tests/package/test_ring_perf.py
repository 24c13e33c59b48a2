"""ring_perf, the microbenchmark: its options, its three formats, and the two ways of starting its ranks."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.contenders import COLLECTIVES

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "cpp"
RING_PERF = BUILD / "ring_perf"

# The first test may have to build libring.
pytestmark = pytest.mark.timeout(600)

QUICK = ("-b", "8", "-e", "100K", "-f", "100", "-i", "3", "-w", "1")
COLUMNS = {
    "size_b",
    "count",
    "type",
    "redop",
    "time_us",
    "mean_us",
    "min_us",
    "p90_us",
    "algbw_gb_s",
    "busbw_gb_s",
    "wrong",
    "cpu_s_per_gb",
}


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """Builds it where scripts/test has not: nothing is done where all is up to date."""
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(BUILD), "-DRING_BENCH=ON"],
        ["cmake", "--build", str(BUILD), "--target", "ring_perf"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def environment(**more: str) -> dict[str, str]:
    """Without what a launcher may have left, and with `more`."""
    launcher = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return {name: value for name, value in os.environ.items() if name not in launcher} | more


def start(*options: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [RING_PERF, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**env),
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, out, err


def output(*options: str, **env: str) -> str:
    code, out, err = end(start(*options, **env))
    assert code == 0, out + err
    return out


def rows_of(text: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert rows, text
    assert set(rows[0]) == COLUMNS
    return rows


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_help_names_every_option() -> None:
    text = output("--help")
    options = set(re.findall(r"(?:^|\s)-([a-zA-Z]) [A-Zi0]", text))
    assert options == set("nptdorxbefiwcTm")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("-n 0", "-n 0: allowed are 1 .. 1024"),
        ("-n two", "-n two: allowed are 1 .. 1024"),
        ("-b 1Q", "-b 1Q: allowed are sizes such as 4, 64K, 16M, 1G"),
        ("-b 99999999999G", "-b 99999999999G: allowed are sizes"),
        ("-b 8 -e 4", "-b is larger than -e"),
        ("-f 1", "-f 1: allowed are 2 .. 1024"),
        ("-t all", "-t all: allowed are all_reduce, broadcast"),
        ("-d float", "-d float: allowed are uint8"),
        ("-o sum", "-o sum: allowed are SUM"),
        ("-o BAND -d float32", "-o BAND: not for float32"),
        ("-m xml", "-m xml: allowed are text, csv, json"),
        ("-x both", "-x both: allowed are in, out"),
        ("-x out -t broadcast", "-x out: broadcast has no input"),
        ("-t recv", "-t recv: allowed are all_reduce"),
        ("-c 2", "-c 2: allowed are 0 .. 1"),
        ("-r -1", "-r -1: allowed are 0 .."),
        ("-T 0", "-T 0: allowed are 1"),
        ("-q", "invalid option"),
        ("more", "what is 'more'?"),
    ],
)
def test_bad_options_are_refused(options: str, complaint: str) -> None:
    code, out, err = end(start(*options.split()))
    assert code == 2
    assert complaint in err
    assert out == ""


def test_root_beyond_the_ranks_is_refused() -> None:
    code, _, err = end(start("-n", "2", "-t", "broadcast", "-r", "2"))
    assert code == 1
    assert "-r 2: there are 2 ranks" in err


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ({"RANK": "0"}, "WORLD_SIZE is not set, but RANK is"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR is not set, but RANK is"),
        ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}, "RANK=2: allowed are 0 .. 1"),
        ({"RANK": "0", "WORLD_SIZE": "many", "MASTER_ADDR": "localhost"}, "WORLD_SIZE=many: allowed are"),
        (
            {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "70000"},
            "MASTER_PORT=70000: allowed are 1 .. 65535",
        ),
    ],
)
def test_half_a_job_is_refused(env: dict[str, str], complaint: str) -> None:
    code, _, err = end(start(**env))
    assert code == 2
    assert complaint in err


def test_text_has_the_columns_of_nccl_tests() -> None:
    lines = output("-n", "2", *QUICK).splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert re.search(r"^# .*, \d+ cores?, Linux .*, reductions with \w+$", comments[0])
    assert "all_reduce in place, 2 ranks on 1 host" in comments[1]
    assert re.search(r"ping-pong of a cache line, before: (\d+\.\d ns one way|not measured)", comments[2])
    assert re.search(r"ping-pong of a cache line, after: (\d+\.\d ns one way|not measured)", comments[-1])
    head = next(line for line in comments if "#wrong" in line)
    assert head.lstrip("#").split() == ["size", "count", "type", "redop", "time", "algbw", "busbw", "#wrong"]
    assert "# Out of bounds values : 0 OK" in comments
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert [row[0] for row in rows] == ["8", "800", "80000"]
    for row in rows:
        assert len(row) == 8
        assert row[2:4] == ["float32", "SUM"]
        assert float(row[4]) > 0
        assert row[7] == "0"


def test_csv_is_consistent() -> None:
    rows = rows_of(output("-n", "3", "-m", "csv", "-b", "3000", "-e", "3M", "-f", "32", "-i", "2"))
    assert [int(row["size_b"]) for row in rows] == [3000, 96000, 3072000]
    for row in rows:
        time, bytes_, busbw = float(row["time_us"]), int(row["size_b"]), float(row["busbw_gb_s"])
        assert int(row["count"]) * 4 == bytes_
        assert 0 < float(row["min_us"]) <= time <= float(row["p90_us"])
        assert float(row["mean_us"]) >= float(row["min_us"])
        assert float(row["algbw_gb_s"]) == pytest.approx(bytes_ / time / 1e3, abs=1e-3)
        assert busbw == pytest.approx(float(row["algbw_gb_s"]) * 4 / 3, abs=1e-3)
        assert row["wrong"] == "0"
        assert (row["cpu_s_per_gb"] != "") == (bytes_ >= 1 << 20)
    assert float(rows[-1]["cpu_s_per_gb"]) > 0


def test_json_says_what_was_measured_and_where() -> None:
    told: dict[str, Any] = json.loads(output("-n", "2", "-p", "1", "-m", "json", "-d", "int32", *QUICK))
    assert set(told) == {"machine", "job", "ping_pong_before_ns", "ping_pong_after_ns", "sizes"}
    assert set(told["machine"]) == {"cpu", "cores", "kernel", "isa"}
    assert told["machine"]["cores"] == len(os.sched_getaffinity(0))
    for when in ("ping_pong_before_ns", "ping_pong_after_ns"):
        assert (told[when] is None) == (told["machine"]["cores"] == 1)
    job = told["job"]
    assert (job["collective"], job["ranks"], job["hosts"], job["in_place"]) == ("all_reduce", 2, 2, True)
    assert [size["size_b"] for size in told["sizes"]] == [8, 800, 80000]
    for size in told["sizes"]:
        assert set(size) == COLUMNS
        assert (size["type"], size["wrong"], size["cpu_s_per_gb"]) == ("int32", 0, None)


def test_every_collective_in_and_out_of_place() -> None:
    """All that the program knows, inside a host and between two; #wrong is what it counts itself."""
    _, _, err = end(start("-t", "?"))
    listed = re.search(r"allowed are ([a-z_, ]+)", err)
    assert listed, err
    collectives = listed[1].split(", ")
    assert {*COLLECTIVES, "memcpy"} == set(collectives)
    for collective in collectives:
        for place in ("in", "out"):
            for ranks_per_host in ("3", "2"):
                options = ("-t", collective, "-x", place, "-p", ranks_per_host, "-d", "bfloat16", "-r", "1")
                if place == "out":
                    code, out, err = end(start("-n", "3", "-m", "csv", *options, *QUICK))
                    if code == 2 and "has no input apart from its output" in err:
                        continue
                    assert code == 0, err
                else:
                    out = output("-n", "3", "-m", "csv", *options, *QUICK)
                rows = rows_of(out)
                assert len(rows) == (1 if collective == "barrier" else 3)
                assert [row["wrong"] for row in rows] == ["0"] * len(rows), (options, rows)


def test_memcpy_copies_a_whole_tensor_on_each_rank() -> None:
    options = ("-t", "memcpy", "-b", "4M", "-e", "16M", "-i", "5", "-w", "1")
    out = output("-n", "2", "-m", "csv", *options)
    assert "memcpy out of place, 2 ranks" in out
    for row in rows_of(out):
        assert (row["type"], row["redop"], row["wrong"]) == ("float32", "none", "0")
        assert float(row["time_us"]) > 0
        assert row["busbw_gb_s"] == row["algbw_gb_s"]


@pytest.mark.parametrize("master", ["127.0.0.1", "localhost", "::1"])
def test_ranks_join_a_job_by_the_environment(master: str) -> None:
    port = free_port()
    ranks = [
        start("-m", "csv", *QUICK, RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR=master, MASTER_PORT=port)
        for rank in (1, 0)
    ]
    (code_1, out_1, err_1), (code_0, out_0, err_0) = (end(rank) for rank in ranks)
    assert (code_0, code_1) == (0, 0), err_0 + err_1
    assert out_1 == ""
    assert "2 ranks on 1 host" in out_0
    assert [row["wrong"] for row in rows_of(out_0)] == ["0"] * 3


def test_a_number_of_ranks_overrules_the_environment() -> None:
    out = output("-n", "2", *QUICK, RANK="0", WORLD_SIZE="8", MASTER_ADDR="localhost")
    assert "2 ranks on 1 host" in out


def test_a_job_with_a_missing_rank_ends_in_time() -> None:
    env = {"WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    ranks = [start("-T", "2", *QUICK, RANK=str(rank), **env) for rank in (0, 1)]
    ended = [end(rank) for rank in ranks]
    assert [code for code, _, _ in ended] == [1, 1]
    assert "did not join in time: 2" in ended[0][2]


def test_a_rank_without_a_rank_0_says_where_it_looked() -> None:
    port = free_port()
    code, _, err = end(start("-T", "1", RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port))
    assert code == 1
    assert f"rank 1 cannot reach the store of rank 0 at 127.0.0.1 port {port}" in err


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, err = end(start(RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port))
    assert code == 1
    assert f"cannot serve its store on port {port}" in err
