"""scripts/bench_collectives really measures, in small, and writes a page that says where ring is slower."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from torch_ring.cli.collectives import NAMES

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench_collectives_run.py"


def test_a_small_measurement(tmp_path: Path) -> None:
    out, docs = tmp_path / "out", tmp_path / "docs"
    docs.mkdir()
    options = ["--only", "1x2", "--sizes", "64,4K", "--seconds", "0.01"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options, "--out", str(out), "--docs", str(docs)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    page = (docs / "collectives.md").read_text()
    assert str(tmp_path) not in page, "no path of this machine"
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in rows[0][1:]] == ["64 B", "4 KiB"]
    assert tuple(row[0].strip() for row in rows[2:]) == NAMES
    ratios = re.findall(r"\(\*\*([\d.]+)\*\*\)", page)
    assert len(ratios) == 2 * (len(NAMES) - 1) + 1
    slower = re.search(r"Where ring is slower: (.+)\.\n", page)
    assert slower
    assert (slower[1] == "nowhere") == all(float(ratio) >= 1 for ratio in ratios)
