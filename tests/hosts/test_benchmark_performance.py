"""The benchmark `performance` measures in a lab of its own, takes it down, and makes a page of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cluster import Cluster
from benchmarks.performance.__main__ import app
from benchmarks.performance.results import path_of
from benchmarks.program import ROOT
from torch_ring.cli.bench_ddp.measure import DdpRow, Training
from torch_ring.cli.bench_ddp.report import DdpReport
from torch_ring.cli.conditions import Conditions

PNG = b"\x89PNG\r\n\x1a\n"


def report(out: Path, docs: Path) -> str:
    done = CliRunner().invoke(app, ["--report", "--out", str(out), "--docs", str(docs)])
    assert done.exit_code == 0, done.output
    return (docs / "performance.md").read_text()


def test_a_layout_of_two_hosts(namespaces: None, tmp_path: Path) -> None:
    out, docs = tmp_path / "out", tmp_path / "docs"
    command = [sys.executable, "-m", "benchmarks.performance"]
    options = ["--only", "2x1@1gbit", "--quick", "--no-ddp", "--out", str(out), "--docs", str(docs)]
    benchmark = subprocess.Popen(
        [*command, *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, complaint = benchmark.communicate(timeout=60)
    assert benchmark.returncode == 0, complaint
    assert not list(Path("/run/netns").glob(f"benchmark-{benchmark.pid}.*")), "the lab is down"
    figures = json.loads((out / "2x1@1gbit.bench.json").read_text())
    assert figures["conditions"]["ranks"] == figures["conditions"]["hosts"] == 2
    assert 0.5 < figures["limit_gbit"] < 1, "the link's goodput, by iperf3"
    largest = max(figures["rows"], key=lambda row: row["bytes"])
    assert largest["busbw_gb_s"] < 0.2, "the tensors went over the shaped link"
    document = (docs / "performance.md").read_text()
    for expected in ("### 2 hosts x 1 rank, 1 Gbit/s", "| 1 MiB |", "gloo / ring", "of limit", "Linux"):
        assert expected in document
    assert str(tmp_path) not in document, "no path of this machine"
    for image in ("all_reduce-busbw.png", "all_reduce-latency.png"):
        assert f"(img/{image})" in document
        assert (docs / "img" / image).read_bytes().startswith(PNG)
    assert report(out, docs) == document


def write_scaling(folder: Path, layout: str, step_ms: float) -> None:
    conditions = Conditions(
        "2030-01-02T03:04:05", ["torch-ring", "bench-ddp"], {"cores": "2"}, {}, None, 2, 2
    )
    training = Training(8, 512, 8, 32, rounds=1, steps=1, simulate_ms=100)
    row = DdpRow("ring", step_ms, step_ms, step_ms, 100, 1 - 100 / step_ms, 0.5, 1.0, 0.0)
    DdpReport(conditions, training, 25_220_000, [row]).write(
        path_of(folder, Cluster.parse(layout), "scaling")
    )


def test_scaling_is_against_one_host(tmp_path: Path) -> None:
    write_scaling(tmp_path, "1x1", 110)
    write_scaling(tmp_path, "2x1@1gbit", 200)
    document = report(tmp_path, tmp_path)
    assert "simulated computation: each rank sleeps 100 ms per step" in document
    assert "| 2 hosts x 1 rank, 1 Gbit/s | ring | 200 ms | 100 ms | 50% | 55% |" in document
    assert (tmp_path / "img" / "ddp-scaling.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("cluster", ["2x2", "1x2@1gbit", "2x1@fast", "0x1@1gbit", "two"])
def test_bad_clusters_are_refused(cluster: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--only", cluster, "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert f"--only: '{cluster}': allowed are clusters such as" in done.output


def test_without_figures_there_is_no_document(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--report", "--out", str(tmp_path), "--docs", str(tmp_path)])
    assert done.exit_code == 1
    assert not (tmp_path / "performance.md").exists()


def test_clusters_are_in_order() -> None:
    texts = ["2x2@1gbit", "2x1@1gbit", "1x4", "2x1@10gbit", "2x1@none", "1x2", "2x1@500mbit"]
    clusters = sorted((Cluster.parse(text) for text in texts), key=Cluster.order)
    expected = ["1x2", "1x4", "2x1@none", "2x1@10gbit", "2x1@1gbit", "2x1@500mbit", "2x2@1gbit"]
    assert [str(cluster) for cluster in clusters] == expected
