"""The benchmark `collectives` really measures, in small, and writes a page that says where ring is slower."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.collectives.document import page, path_again, path_of
from benchmarks.program import ROOT
from torch_ring.cli.bench.collectives import NAMES
from torch_ring.cli.bench.report import Report


def test_a_small_measurement(tmp_path: Path) -> None:
    out, docs = tmp_path / "out", tmp_path / "docs"
    docs.mkdir()
    options = ["--only", "1x2", "--sizes", "64,4K", "--seconds", "0.01"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.collectives", *options, "--out", str(out), "--docs", str(docs)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
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
    assert slower[1].count("again") == sum(float(ratio) < 1 for ratio in ratios)
    _check_that_slower_ones_are_told(out)


def _check_that_slower_ones_are_told(out: Path) -> None:
    """As if one had taken twice as long over ring, and half as long when it was measured again."""
    cluster, name, size = Cluster.parse("1x2"), "gather", 4096
    report = Report.read(path_of(out, cluster))

    def over_ring(factor: float) -> Report:
        rows = [
            replace(row, median_us=factor, mean_us=1.0)
            if row.backend == "ring"
            else replace(row, median_us=1.0, mean_us=3.0)
            for row in report.rows
            if (row.collective, row.bytes) == (name, size)
        ]
        return replace(report, rows=rows)

    slow = {cluster: over_ring(2.0)}
    assert "Where ring is slower: 1x2 gather 4 KiB (0.500).\n" in page(out, slow)
    over_ring(0.5).write(path_again(out, cluster, name, size))
    assert "Where ring is slower: 1x2 gather 4 KiB (0.500, again 2.00, means 3.00).\n" in page(out, slow)
