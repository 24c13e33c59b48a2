"""docs/dtypes.md is what scripts/dtypes finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_true(tmp_path: Path) -> None:
    page = tmp_path / "dtypes.md"
    command = [sys.executable, str(ROOT / "scripts" / "dtypes_run.py"), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert page.read_text() == (ROOT / "docs" / "dtypes.md").read_text(), "run scripts/dtypes"
