"""A rank that ends before it has left anything in the store: those of its host tell the others.

They know it by their launcher's children, so these tests start ranks as launchers do.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness.places import IMPATIENT_RESOLVER, RANK_VARIABLES, SINGLE_THREAD
from harness.worker import BACKEND

# A rank: waits for so many seconds, may end then, or says in a file how it fared.
PROGRAM = f"""
import json, os, sys, time
folder, rank = sys.argv[1], os.environ["RANK"]
time.sleep(float(sys.argv[2]))
if rank in sys.argv[3:]:
    sys.exit()
import torch.distributed as dist
open(f"{{folder}}/comes{{rank}}", "w").close()
start, said = time.monotonic(), ""
try:
    dist.init_process_group("{BACKEND}", init_method=os.environ.get("INIT_METHOD"))
except dist.DistBackendError as error:
    said = str(error)
with open(f"{{folder}}/saying{{rank}}", "w") as file:
    json.dump([said, time.monotonic() - start], file)
os.rename(f"{{folder}}/saying{{rank}}", f"{{folder}}/said{{rank}}")
"""
EARLY = 20.0  # seconds; the group's timeout is half an hour
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


def environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    return env | SINGLE_THREAD | IMPATIENT_RESOLVER


def write_program(folder: Path) -> str:
    (folder / "program.py").write_text(PROGRAM)
    return str(folder / "program.py")


def wait_for(path: Path, deadline: float = 30.0) -> None:
    until = time.monotonic() + deadline
    while not path.exists():
        assert time.monotonic() < until, f"there is no {path.name}"
        time.sleep(0.02)


def said(folder: Path, rank: int) -> tuple[str, float]:
    """What the rank's init_process_group() raised, if anything, and the seconds that it took."""
    path = folder / f"said{rank}"
    wait_for(path, 40)
    text, seconds = json.loads(path.read_text())
    return text, seconds


class ByHand:
    """Starts the ranks of one job, as a shell script does, and ends them."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.program = folder, write_program(folder)
        # torch's own TCPStore would wait in rank 0 for all others, before the backend is asked.
        self.store = f"file://{folder}/store?world_size={size}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.env = environment() | {"MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
        self.ranks: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, rank: int, *arguments: str) -> None:
        command = [sys.executable, self.program, str(self.folder), *arguments]
        own = {"RANK": str(rank), "INIT_METHOD": f"{self.store}&rank={rank}"}
        self.ranks[rank] = subprocess.Popen(command, env=self.env | own)

    def __enter__(self) -> ByHand:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.ranks.values():
            process.kill()
            process.wait()


def test_torchrun_and_a_rank_that_ends_well_before_it_comes(tmp_path: Path) -> None:
    """Then torchrun lets the others wait. Nobody has seen that rank, which ends while they import torch."""
    command = [*TORCHRUN, "--nproc-per-node", "3", write_program(tmp_path), str(tmp_path), "0", "1"]
    torchrun = subprocess.Popen(command, env=environment(), start_new_session=True)
    try:
        for rank in (0, 2):
            text, seconds = said(tmp_path, rank)
            assert "rank 1 (host " in text and "has ended" in text, text
            assert seconds < EARLY
        assert torchrun.wait(30) == 0
    finally:
        torchrun.terminate()
        torchrun.wait()


def test_ranks_see_one_of_their_host_end_before_it_comes(tmp_path: Path) -> None:
    """But are not misled by one of another job."""
    folders = [tmp_path / "dies", tmp_path / "late"]
    for folder in folders:
        folder.mkdir()
    with ByHand(folders[0], 3) as dies, ByHand(folders[1], 3) as late:
        dies.start(1, "60")
        dies.start(0, "0")
        dies.start(2, "0")
        late.start(0, "0")
        late.start(2, "0")
        for folder, rank in ((folders[0], 0), (folders[0], 2), (folders[1], 0), (folders[1], 2)):
            wait_for(folder / f"comes{rank}")
        time.sleep(1)  # they look
        dies.ranks[1].kill()
        killed = time.monotonic()
        dies.ranks[1].wait()
        for rank in (0, 2):
            text, _ = said(folders[0], rank)
            name = f"rank 1 (host {socket.gethostname()}, pid {dies.ranks[1].pid})"
            assert f"{name} ended before it joined the group" in text, text
        assert time.monotonic() - killed < 5
        late.start(1, "0")
        for rank in range(3):
            assert said(folders[1], rank)[0] == ""
