"""`torch-ring cuda`: which CUDA runtime, GPUs and NCCL a process with torch finds here, or why none."""

from __future__ import annotations

import typer

from torch_ring.cli.core import core


def cuda() -> None:
    """Print which CUDA runtime, GPUs and NCCL there are; exits with 1 where one of them is missing."""
    findings = core().device_findings()
    for finding in findings:
        typer.echo(f"{finding.what}: {finding.words}")
    if not all(finding.found for finding in findings):
        raise typer.Exit(1)
