"""What rank 0 of train_gpt.py shows and records: a live progress bar or plain lines, and JSON metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL = 10  # steps from one line to the next where there is no terminal for a live bar


class Metrics:
    """Appends one JSON object per step to a file, or does nothing without one."""

    def __init__(self, path: Path | None, start: int) -> None:
        """A run resumed after step `start` keeps the lines up to there; what it repeats is written anew."""
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            old = path.read_text().splitlines() if start and path.exists() else []
            kept = [line for line in old if json.loads(line)["step"] <= start]
            self._file = path.open("w", buffering=1)  # whole lines, to be followed while training
            self._file.writelines(f"{line}\n" for line in kept)

    def write(self, row: dict[str, float]) -> None:
        if self._file:
            self._file.write(json.dumps(row) + "\n")


class Display:
    """A live bar on a terminal, a line every few steps elsewhere."""

    def __init__(self, title: str, start: int, steps: int) -> None:
        self.console = Console(highlight=False)
        self._title, self._steps = title, steps
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(compact=True),
                console=self.console,
                expand=True,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task(title, total=steps, completed=start, status="")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keeps the bar moving within the block."""
        with self._bar or nullcontext():
            yield

    def update(self, row: dict[str, float]) -> None:
        """Shows a finished step."""
        step = int(row["step"])
        comm = f"comm {row['comm_share']:.1%}"
        status = f"loss {row['loss']:.4f} · {row['tokens_per_s']:,.0f} tokens/s · {comm}"
        if self._bar:
            self._bar.update(self._task, completed=step, status=status)
        elif step % PLAIN_INTERVAL == 0 or step == self._steps:
            self.print(f"{self._title} {step:>{len(str(self._steps))}}/{self._steps}  {status}")

    def print(self, text: str) -> None:
        """Prints a line, above the bar where there is one."""
        self.console.print(text, markup=False, soft_wrap=True)
