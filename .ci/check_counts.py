"""Fails where fewer tests ran than the suite holds: what is listed must have run, nothing may be skipped."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

BUILD = Path("build")


def ran(report: Path) -> tuple[int, int]:
    """How many tests a JUnit report holds, and how many of them were skipped."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    return sum(int(s.get("tests", 0)) for s in suites), sum(int(s.get("skipped", 0)) for s in suites)


def listed_cpp(binary: Path) -> int:
    listing = subprocess.run(
        [binary, "--gtest_list_tests"], check=True, capture_output=True, text=True
    ).stdout
    return sum(line.startswith("  ") for line in listing.splitlines())


def listed_python() -> int:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "--quiet"]
    output = subprocess.run(collect, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^(\d+) tests? collected", output, re.MULTILINE)
    return int(found.group(1)) if found else 0


def main() -> int:
    total = 0
    short = False
    for reports, listed in (
        ("cpp-[0-9]*.xml", listed_cpp(BUILD / "cpp" / "ring_tests")),
        ("cpp-address-*.xml", listed_cpp(BUILD / "cpp-address" / "ring_tests")),
        ("cpp-thread-*.xml", listed_cpp(BUILD / "cpp-thread" / "ring_tests")),
        ("pytest.xml", listed_python()),
    ):
        counts = [ran(report) for report in BUILD.glob(reports)]
        count, skipped = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
        print(f"{reports}: {listed} tests in the suite, {count - skipped} ran, {skipped} skipped")
        short |= listed == 0 or count - skipped < listed
        total += count - skipped
    print("fewer tests ran than the suite holds" if short else f"{total} passed, 0 failed")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
