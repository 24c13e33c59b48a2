"""What `benchmarks/run dtypes` does: calls every dtype with every reduce op on two ranks; writes the page."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from torch.multiprocessing.spawn import spawn

from benchmarks.dtypes.rank import BACKENDS, DTYPES, RANKS, Found, run_rank
from benchmarks.program import DOCS, DocsOption, program, start


def page(found: Found) -> str:
    names = [str(dtype).removeprefix("torch.") for dtype in DTYPES]
    lines = [
        "# Dtypes and reduce ops",
        "",
        "What gave the right result when `benchmarks/run dtypes` called it on two ranks, with CPU tensors "
        + "and torch "
        + torch.__version__.split("+")[0]
        + ".",
        "**r**: ring alone, **rg**: ring and gloo, **g**: gloo alone, empty: neither.",
    ]
    for name, by_op in found["ring"].items():
        lines += ["", f"## {name}", "", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for op in by_op:
            marks = [
                "".join(backend[0] for backend in BACKENDS if dtype in found[backend][name][op])
                for dtype in names
            ]
            lines.append(f"| {op or 'moves'} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def merged(reports: list[Found]) -> Found:
    """What every rank found right."""
    first = reports[0]
    return {
        backend: {
            name: {
                op: [dtype for dtype in dtypes if all(dtype in each[backend][name][op] for each in reports)]
                for op, dtypes in by_op.items()
            }
            for name, by_op in of_backend.items()
        }
        for backend, of_backend in first.items()
    }


def main(docs: DocsOption = DOCS) -> None:
    """Call every collective with every dtype and reduce op over ring and gloo, and write docs/dtypes.md."""
    with tempfile.TemporaryDirectory(prefix="benchmark-dtypes-") as folder:
        spawn(run_rank, (folder,), nprocs=RANKS)  # type: ignore[no-untyped-call]
        reports = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(RANKS)]
    (docs / "dtypes.md").write_text(page(merged(reports)))


app = program(main)

if __name__ == "__main__":
    start(app, "dtypes")
