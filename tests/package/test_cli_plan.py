"""`torch-ring plan`: tables, units, JSON, the plot, the comparison with measurements, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from torch_ring.cli import units
from torch_ring.cli.plan.command import plan

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(plan)

FAR = ["--hosts", "512", "--ranks-per-host", "8", "--link", "25gbit", "--latency", "50us"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(*arguments: str | Path) -> dict[str, Any]:
    """What it says as JSON, which is then all it says."""
    result = run(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def refusal(*arguments: str | Path) -> str:
    """The one line that says what is wrong."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert not isinstance(result.exception, Exception), result.exception
    return result.output.strip().splitlines()[-1]


def test_the_table_marks_what_is_chosen() -> None:
    result = run(*FAR, "--size", "100MB")
    assert result.exit_code == 0, result.output
    assert "all_reduce of 100 MB on 512 hosts of 8 ranks, 25 Gbit/s" in result.stdout
    marked = [line.split()[1] for line in result.stdout.splitlines() if " * " in line and "│" in line]
    assert marked == ["halving_doubling"]


def test_json_says_what_can_be_worked_out_by_hand() -> None:
    four = answer("--hosts", "4", "--size", "64MiB", "--link", "8gbit", "--stream", "8gbit")
    by_name = {row["algorithm"]: row for row in four["predictions"]}
    assert list(by_name) == ["ring", "doubling", "halving_doubling"]
    assert [row["algorithm"] for row in four["predictions"] if row["chosen"]] == [four["chosen"]] == ["ring"]
    assert by_name["ring"]["steps"] == 6 and by_name["doubling"]["steps"] == 2
    assert by_name["ring"]["bytes_per_link"] == 1.5 * (64 << 20)
    # A link of 1 GB/s, full nearly all the time; with as many ranks as hosts busbw is its rate.
    assert by_name["ring"]["seconds"] == pytest.approx(1.5 * (64 << 20) / 1e9, rel=0.02)
    assert by_name["ring"]["busbw_bytes_per_s"] == pytest.approx(by_name["ring"]["efficiency"] * 1e9)


def test_options_reach_the_model() -> None:
    options = [
        "--link",
        "8gbit",
        "--latency",
        "1ms",
        "--stream",
        "4gbit",
        "--frame",
        "9us",
        "--memory",
        "2GB/s",
    ]
    machine = answer(*options)["machine"]
    assert machine["link"] == {"seconds_per_byte": 1e-9, "latency_s": 1e-3, "frame_s": pytest.approx(9e-6)}
    assert machine["stream_seconds_per_byte"] == 2e-9
    assert machine["host"]["seconds_per_byte"] == machine["host"]["reduce_seconds_per_byte"] == 5e-10


@pytest.mark.parametrize("collective", ["broadcast", "all_gather", "reduce_scatter", "barrier"])
def test_every_collective_can_be_planned(collective: str) -> None:
    few = answer(*FAR, "--collective", collective, "--size", "64B")
    assert few["collective"] == collective
    assert next(row for row in few["predictions"] if row["chosen"])["steps"] <= 20


def test_one_host_has_no_link() -> None:
    alone = answer("--hosts", "1", "--ranks-per-host", "4")
    assert [row["bytes_per_link"] for row in alone["predictions"]] == [0]
    assert "shared memory *" in run("--hosts", "1", "--ranks-per-host", "4").stdout


def test_sizes_are_listed_and_a_table_overrides_them() -> None:
    table = "all_reduce: 0-32K ring chunk=64K streams=2"
    ranges = answer(*FAR, "--size", "8B", "--table", "--size-table", table)["sizes"]
    assert ranges[0]["from"] == 0
    assert (ranges[0]["algorithm"], ranges[0]["chunk_bytes"], ranges[0]["streams"]) == ("ring", 65536, 2)
    assert next(row for row in ranges if row["algorithm"] != "ring")["from"] == 32768
    assert answer(*FAR, "--size", "8B", "--size-table", table)["chosen"] == "ring"
    assert answer(*FAR, "--size", "8B")["chosen"] == "doubling"
    assert "chosen by size" in run(*FAR, "--table").stdout


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "plan.png"
    result = run(*FAR, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")


def measurements(folder: Path, content: object) -> Path:
    file = folder / "measured.json"
    file.write_text(json.dumps(content))
    return file


ENTRY = {"hosts": 4, "ranks_per_host": 1, "bytes": 1024, "seconds": 1e-4, "algorithm": "doubling"}


def test_measurements_are_compared(tmp_path: Path) -> None:
    machine = {"link": {"latency_s": 40e-6, "seconds_per_byte": 0}, "host": {"reduce_seconds_per_byte": 0}}
    machine |= {"stream_seconds_per_byte": 0}
    file = measurements(
        tmp_path, {"machine": machine, "measurements": [ENTRY, ENTRY | {"algorithm": "ring"}]}
    )
    report = answer("--measured", file)
    doubling, ring = report["comparisons"]
    # 2 and 6 messages of 40 us.
    assert doubling["predicted_seconds"] == pytest.approx(80e-6) and doubling["error"] == pytest.approx(-0.2)
    assert ring["predicted_seconds"] == pytest.approx(240e-6) and ring["error"] == pytest.approx(1.4)
    assert doubling["chosen"] == ring["chosen"] == "doubling"
    assert report["largest_error"] == pytest.approx(1.4) and report["median_error"] == pytest.approx(0.8)
    assert report["machine"]["link"]["latency_s"] == 40e-6
    assert "-20.0%" in run("--measured", file).stdout
    # The list alone will do, with the machine from the options.
    assert len(answer("--measured", measurements(tmp_path, [ENTRY]), "--latency", "1ms")["comparisons"]) == 1


def test_what_it_writes_it_can_read(tmp_path: Path) -> None:
    machine = answer(*FAR)["machine"]
    file = measurements(tmp_path, {"machine": machine, "measurements": [ENTRY]})
    assert answer("--measured", file)["machine"] == machine


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({}, ["measurements"]),
        ([], ["not empty"]),
        ([7], ["measurement 0", "algorithm"]),
        ([{**ENTRY, "hosts": "4"}], ["measurement 0", "hosts", "'4'"]),
        ([{**ENTRY, "bytes": True}], ["bytes", "True"]),
        ([ENTRY, {"hosts": 4}], ["measurement 1", "ranks_per_host", "missing"]),
        ([{**ENTRY, "seconds": 0}], ["seconds", "more than 0"]),
        ([{**ENTRY, "bytes": -1}], ["bytes", "-1"]),
        ([{**ENTRY, "hosts": 0}], ["0 hosts", "1 .. "]),
        ([{**ENTRY, "hosts": 1 << 40}], ["hosts", "1099511627776"]),
        ([{**ENTRY, "collective": 7}], ["collective", "7"]),
        ([{**ENTRY, "speed": 1}], ["unknown", "speed"]),
        ([{**ENTRY, "algorithm": "tree"}], ["tree", "ring, doubling, halving_doubling"]),
        ([{**ENTRY, "collective": "scatter"}], ["scatter", "all_reduce, broadcast"]),
        (
            {"measurements": [ENTRY], "machine": {"link": {"speed": 1}}},
            ["machine, link", "speed", "latency_s"],
        ),
        ({"measurements": [ENTRY], "machine": {"link": 7}}, ["machine, link", "object"]),
        ({"measurements": [ENTRY], "machine": {"stream_seconds_per_byte": -1}}, ["-1", "from 0 on"]),
    ],
)
def test_wrong_measurements_are_refused(tmp_path: Path, content: object, parts: list[str]) -> None:
    message = refusal("--measured", measurements(tmp_path, content))
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("option", "value", "parts"),
    [
        ("--link", "25", ["--link", "'25'", "gbit", "GB"]),
        ("--link", "fast", ["--link", "'fast'", "number with a unit"]),
        ("--link", "0gbit", ["--link", "more than 0"]),
        ("--link", "25gb", ["'gb'", "allowed"]),
        ("--memory", "20gigs", ["--memory", "'gigs'"]),
        ("--latency", "50", ["--latency", "ns, us, ms, s"]),
        ("--latency", "-5us", ["--latency", "'-5us'"]),
        ("--size", "100mb", ["--size", "'mb'", "MB", "MiB"]),
        ("--size", "1.5B", ["--size", "whole number"]),
        ("--size", "2000000TB", ["--size", "2^60"]),
        ("--hosts", "0", ["--hosts"]),
        ("--hosts", "100000000000", ["--hosts"]),
        ("--ranks-per-host", "100000", ["--ranks-per-host"]),
        ("--latency", "9" * 400 + "s", ["latency", "inf"]),
        ("--collective", "all_to_all", ["'all_to_all'", "all_reduce, broadcast, all_gather"]),
        ("--size-table", "all_reduce: 0- rign", ["position 16", "'rign'", "halving_doubling"]),
        ("--json", "/nonexistent/folder/plan.json", ["--json", "/nonexistent/folder/plan.json"]),
        ("--plot", "/nonexistent/folder/plan.png", ["--plot", "/nonexistent/folder/plan.png"]),
        ("--measured", "/nonexistent/measured.json", ["--measured", "/nonexistent/measured.json"]),
    ],
)
def test_bad_input_is_named_with_what_is_allowed(option: str, value: str, parts: list[str]) -> None:
    message = refusal(option, value)
    assert all(part in message for part in parts), message


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError("torch_ring has not been built")

    monkeypatch.setattr("torch_ring.cli.core.load", missing)
    result = run(*FAR)
    assert result.exit_code == 1
    assert "torch_ring has not been built" in result.output


def test_units() -> None:
    assert units.parse_rate("25gbit") == units.parse_rate("25 Gbit/s") == 25e9 / 8
    assert units.parse_rate("20GB/s") == 20e9 and units.parse_rate("1.5GiB") == 1.5 * 2**30
    assert units.parse_time("50us") == pytest.approx(50e-6) and units.parse_time(".5 ms") == 5e-4
    assert units.parse_size("100MB") == 10**8 and units.parse_size("64KiB") == 65536
    assert units.show_time(0.0999996) == "100 ms" and units.show_time(0.9999) == "1.00 s"
    assert units.show_time(25e-6) == "25.0 µs" and units.show_time(0) == "0 µs"
    assert units.show_bytes(199_609_375) == "200 MB" and units.show_bytes(7) == "7.00 B"
    assert units.show_rate(25e9 / 8) == "25 Gbit/s" and units.show_rate(1e5) == "800 kbit/s"
    assert units.show_binary(1120 << 10) == "1120 KiB" and units.show_binary(0) == "0 B"
