"""The benchmark `peers`: its options, its page, and ring_perf beside programs that stand in for libraries.

The libraries themselves are not installed where this runs.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.peers import contenders
from benchmarks.peers.__main__ import app, parse_collectives
from benchmarks.peers.contenders import COLLECTIVES, Circumstances, Contender, FailedRun, Row, run
from benchmarks.peers.document import page
from benchmarks.program import ROOT

# The first test may have to build ring_perf.
pytestmark = pytest.mark.timeout(600)

# Instead of benchmarks/peers/run: a library without gather, whose all_reduce fails as $FAULT says.
STAND_IN = """#!/bin/sh
peer=$1
shift
echo "# Stand-in for $peer 1.2, what it measures"
head=size_b,count,type,redop,time_us,mean_us,min_us,p90_us,algbw_gb_s,busbw_gb_s,wrong,cpu_s_per_gb
case "$*" in
*"-t gather"*) echo $head; echo "# it has no gather" ;;
*"-t all_reduce"*)
    case $peer-$FAULT in
    openmpi-wrong) echo $head; echo 64,16,float32,SUM,1,1,1,1,1,1,3,; exit 1 ;;
    openmpi-crash) echo "no shared memory" >&2; exit 7 ;;
    esac ;;
esac
case "$*" in *"-t gather"*) ;; *) "$RING_PERF" "$@" -m csv | grep -v '^#' ;; esac
"""


def row(size: int, time_us: float, mean_us: float, cpu: str = "") -> Row:
    return {"size_b": str(size), "time_us": str(time_us), "mean_us": str(mean_us), "cpu_s_per_gb": cpu}


def table_of(text: str, collective: str) -> list[list[str]]:
    """The cells of the first table of a chapter."""
    chapter = text.split(f"## {collective}\n", 1)[1].split("\n## ", 1)[0]
    table = re.search(r"(?:^\|.*\n)+", chapter, re.MULTILINE)
    assert table, chapter
    lines = [line.strip("|").split("|") for line in table[0].splitlines()]
    return [[cell.strip() for cell in line] for line in lines if "---" not in line[0]]


def made_up(collectives: list[str]) -> list[Contender]:
    names = ["ring", "openmpi", "oneccl", "memcpy"]
    made = [Contender(name, [], f"{name} 1.2") for name in names]
    for collective in collectives:
        for one, times in zip(made, ([10, 12, 30], [20, 20, 26], [8, 40, 44], [10, 10, 10]), strict=True):
            if one.runs(collective):
                for time_us in times:
                    one.take(collective, [row(1 << 20, time_us, 2 * time_us, cpu="0.5")])
    return made


@pytest.mark.parametrize(
    ("text", "collectives"),
    [
        ("all", list(COLLECTIVES)),
        ("send", ["send"]),
        ("barrier, all_reduce,barrier", ["barrier", "all_reduce"]),
    ],
)
def test_several_collectives_can_be_named(text: str, collectives: list[str]) -> None:
    assert parse_collectives(text) == collectives


@pytest.mark.parametrize("text", ["", "allreduce", "all_reduce,", "all,send", "memcpy", "recv"])
def test_what_is_no_collective_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="allowed are all, all_reduce, reduce"):
        parse_collectives(text)


def test_help_tells_of_every_collective() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"})
    assert shown.exit_code == 0
    assert all(name in shown.output for name in (*COLLECTIVES, "memcpy"))


def test_a_table_has_medians_means_and_ratios() -> None:
    text = page(
        "the command",
        "2 ranks",
        3,
        Circumstances("A machine", [50, 60, 40]),
        made_up(["all_reduce", "send"]),
        ["all_reduce", "send"],
    )
    assert "50 ns before, 40 ns after, 40 to 60 ns" in text
    headings, line = table_of(text, "all_reduce")
    assert headings == ["size", "ring", "openmpi", "oneccl", "ring / best", "memcpy", "ring / memcpy"]
    # Of 12 and the best other median 20; the best other mean is openmpi's 44, not oneccl's.
    assert line == [
        "1 MiB",
        "**12.0** (34.7)",
        "20.0 (44.0)",
        "40.0 (61.3)",
        "0.600 (0.788)",
        "10.0 (20.0)",
        "1.20 (1.73)",
    ]
    headings, line = table_of(text, "send")
    assert headings == ["size", "ring", "openmpi", "oneccl", "ring / best"]
    assert line[-1] == "0.600 (0.788)"


def test_what_a_library_lacks_is_empty_and_the_rest_is_compared() -> None:
    made = made_up(["gather"])
    del made[2].rows["gather"]
    _, line = table_of(page("", "2 ranks", 3, Circumstances(), made, ["gather"]), "gather")
    assert line == ["1 MiB", "**12.0** (34.7)", "20.0 (44.0)", "", "0.600 (0.788)"]


def test_a_size_without_a_share_for_each_rank_is_left_out() -> None:
    made = made_up(["all_gather", "barrier"])
    made[0].take("all_gather", [row(0, 1, 1)])
    made[0].rows["barrier"] = {0: [row(0, 1, 1)]}
    made[1].rows["barrier"] = {0: [row(0, 2, 2)]}
    made[2].rows["barrier"] = {}
    text = page("", "2 ranks", 3, Circumstances(), made, ["all_gather", "barrier"])
    assert [line[0] for line in table_of(text, "all_gather")[1:]] == ["1 MiB"]
    assert table_of(text, "barrier")[1:] == [["", "**1.00** (1.00)", "2.00 (2.00)", "", "0.500 (0.500)"]]


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if Open MPI and oneCCL were installed. Returns the folder of their programs."""
    contenders.build_ring_perf()
    programs = tmp_path / "peers"
    programs.mkdir()
    for name in ("openmpi", "oneccl"):
        (programs / name).touch()
    runner = tmp_path / "run"
    runner.write_text(STAND_IN)
    runner.chmod(0o755)
    monkeypatch.setattr(contenders, "_PEER_PROGRAMS", programs)
    monkeypatch.setattr(contenders, "_RUN_PEER", runner)
    monkeypatch.setenv("RING_PERF", str(ROOT / "build" / "cpp" / "ring_perf"))
    return programs


QUICK = ["-b", "64", "-e", "4K", "-f", "64", "-i", "2", "-w", "1", "-r", "2"]


def test_a_small_comparison(stand_ins: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    done = CliRunner().invoke(app, [*QUICK, "-t", "all_reduce,gather,barrier", "--csv", str(file)])
    assert done.exit_code == 0, done.output
    text = done.stdout
    assert "openmpi = Stand-in for openmpi 1.2, oneccl = Stand-in for oneccl 1.2" in text
    assert "`benchmarks/run peers -n 2 -b 64 -e 4K -f 64 -i 2 -w 1 -t all_reduce,gather,barrier -r 2`" in text
    assert str(tmp_path) not in text
    all_reduce = table_of(text, "all_reduce")
    assert [line[0] for line in all_reduce] == ["size", "64 B", "4 KiB"]
    assert all(cell for line in all_reduce for cell in line)
    for line in table_of(text, "gather")[1:]:
        assert [bool(cell) for cell in line] == [True, True, False, False, False]
    assert len(table_of(text, "barrier")) == 2
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    runs = {(one["contender"], one["collective"]) for one in rows}
    assert runs == {
        *(
            (name, collective)
            for name in ("ring", "openmpi", "oneccl")
            for collective in ("all_reduce", "barrier")
        ),
        ("ring", "gather"),
        ("memcpy", "memcpy"),
    }
    assert {one["round"] for one in rows} == {"1", "2"}
    assert {one["wrong"] for one in rows} == {"0"}


def test_ranks_that_count_as_hosts(stand_ins: Path) -> None:
    done = CliRunner().invoke(app, [*QUICK, "-n", "3", "-p", "1"])
    assert done.exit_code == 0, done.output
    assert "# libring beside other libraries, 3 ranks, each on a host of its own\n" in done.stdout
    assert "`benchmarks/run peers -n 3 -p 1 -b 64 " in done.stdout
    assert CliRunner().invoke(app, [*QUICK, "-p", "2"]).exit_code == 2


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("wrong", "openmpi all_reduce has 3 wrong elements at 64 bytes"),
        ("crash", "openmpi all_reduce failed with 7:"),
    ],
)
def test_a_library_that_fails_is_named_and_the_rest_is_told(
    stand_ins: Path, monkeypatch: pytest.MonkeyPatch, fault: str, complaint: str
) -> None:
    monkeypatch.setenv("FAULT", fault)
    done = CliRunner().invoke(app, [*QUICK, "-t", "all_reduce,barrier"])
    assert done.exit_code == 1
    assert complaint in done.stdout
    for line in table_of(done.stdout, "all_reduce")[1:]:
        assert [bool(cell) for cell in line] == [True, True, False, True, True, True, True]
    assert all(table_of(done.stdout, "barrier")[1][1:])


def test_options_that_ring_perf_refuses_end_it_at_once(stand_ins: Path) -> None:
    done = CliRunner().invoke(app, ["-b", "1Q"])
    assert done.exit_code == 1
    assert done.output.strip().startswith("peers: ring_perf: -b 1Q: allowed are sizes"), "and no page"


def test_a_run_that_takes_too_long_leaves_nothing_behind(tmp_path: Path) -> None:
    """As of mpirun: asked to end, it ends its ranks."""
    launcher = tmp_path / "launcher"
    mark = tmp_path / "rank"
    launcher.write_text(
        f"#!/bin/sh\nsleep 100 & echo $! >{mark}; trap 'kill $!; exit 1' TERM\nwhile :; do wait; done\n"
    )
    launcher.chmod(0o755)
    with pytest.raises(FailedRun, match="x all_reduce did not end within 3 s"):
        run(Contender("x", [str(launcher)]), "all_reduce", [], 3.0, Circumstances())
    rank = int(mark.read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{rank}/stat").exists() and Path(f"/proc/{rank}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "its rank is still there"
        time.sleep(0.01)


def test_a_peer_that_is_out_of_date_is_named(stand_ins: Path) -> None:
    os.utime(stand_ins / "oneccl", (0, 0))
    with pytest.raises(SystemExit, match="run: benchmarks/peers/install oneccl"):
        contenders.installed()


def test_without_peers_it_says_how_to_install_them(stand_ins: Path) -> None:
    for program in stand_ins.iterdir():
        program.unlink()
    with pytest.raises(SystemExit, match="none is installed; run: benchmarks/peers/install"):
        contenders.installed()


@pytest.mark.parametrize(
    ("script", "options", "complaint"),
    [
        ("install", ["mpich"], "no peer 'mpich'; there are: openmpi, intelmpi, oneccl"),
        ("run", ["mpich"], "no peer 'mpich'; there are: openmpi, intelmpi, oneccl"),
        ("run", ["openmpi", "-n", "two"], "-n two: allowed is a number of ranks"),
        ("run", ["openmpi", "-p", "2"], "-p 2: allowed is 1, each rank a host"),
    ],
)
def test_the_scripts_refuse_what_they_do_not_know(script: str, options: list[str], complaint: str) -> None:
    done = subprocess.run(
        [ROOT / "benchmarks" / "peers" / script, *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert complaint in done.stderr
