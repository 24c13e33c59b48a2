"""scripts/netlab does what its manual says."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from harness import Lab
from harness.lab import NETLAB, netlab

PROBE = ": < /dev/tcp/10.77.0.{}/9"  # a port where nobody listens: "refused" proves that packets go both ways
NO_LAB = "pytest-none"


def probe(lab: Lab, source: int, target: int) -> str:
    try:
        lab.netlab("exec", str(source), "timeout", "0.5", "bash", "-c", PROBE.format(target + 1))
    except RuntimeError as error:
        return str(error)
    raise AssertionError("somebody listens on the discard port")


def test_hosts_reach_each_other(lab: Lab) -> None:
    for target in range(1, lab.hosts):
        assert "refused" in probe(lab, 0, target)


def test_a_pulled_cable_is_silent_and_heals(lab: Lab) -> None:
    lab.netlab("link", "1", "down")
    assert "refused" not in probe(lab, 0, 1) and "unreachable" not in probe(lab, 1, 0)
    assert "refused" in probe(lab, 0, 2)
    lab.netlab("link", "1", "up")
    assert "refused" in probe(lab, 0, 1)


def test_a_downed_interface_is_noticed_and_heals(lab: Lab) -> None:
    lab.netlab("nic", "1", "down")
    assert "unreachable" in probe(lab, 1, 0)
    lab.netlab("nic", "1", "up")
    assert "refused" in probe(lab, 1, 0)


def test_rates_hold_in_both_directions(lab: Lab) -> None:
    lab.netlab("rate", "25mbit")
    shaped = lab.netlab("stat")
    lab.netlab("rate", "none")
    assert shaped.count("qdisc tbf") == 2 * lab.hosts and shaped.count("rate 25Mbit") == 2 * lab.hosts
    assert "tbf" not in lab.netlab("stat")


def test_down_ends_the_labs_processes_and_no_other_labs(lab: Lab) -> None:
    name = f"pytest-{os.getpid()}-second"
    try:
        assert netlab(name, "up", "1").returncode == 0
        assert "already up" in netlab(name, "up", "1").stderr
        sleeper = subprocess.Popen(
            [str(NETLAB), "exec", "0", "bash", "-c", "trap '' TERM; sleep 100; sleep 100"],
            env=os.environ | {"LAB": name},
        )
        deadline = time.monotonic() + 10
        while str(sleeper.pid) not in netlab(name, "pids").stdout.split():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        assert netlab(name, "down").returncode == 0
    assert sleeper.wait(timeout=5) != 0
    assert not list(Path("/run/netns").glob(f"{name}.*"))
    assert "refused" in probe(lab, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("up", "none"), "number of hosts"),
        (("up", "2", "fast"), "bad rate 'fast'"),
        (("exec", "0", "true"), "is not up"),
        (("frobnicate",), "unknown command"),
    ],
)
def test_bad_input_is_refused(lab: Lab, arguments: tuple[str, ...], complaint: str) -> None:
    done = netlab(NO_LAB, *arguments)
    assert done.returncode != 0 and complaint in done.stderr


def test_bad_hosts_and_states_are_refused(lab: Lab) -> None:
    for arguments, complaint in ((("nic", "7", "up"), "hosts 0..3"), (("link", "0", "maybe"), "up and down")):
        with pytest.raises(RuntimeError, match=complaint):
            lab.netlab(*arguments)


def test_the_manual_names_every_command() -> None:
    manual = netlab(NO_LAB, "--help").stdout
    for command in ("up", "exec", "rate", "link", "nic", "stat", "check", "pids", "down"):
        assert f"\n  {command}" in manual
