"""docs/dtypes.md is what the benchmark `dtypes` finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.program import ROOT


def test_the_page_is_true(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.dtypes", "--docs", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dtypes.md").read_text() == (ROOT / "docs" / "dtypes.md").read_text(), (
        "run: benchmarks/run dtypes"
    )
