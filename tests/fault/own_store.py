"""Ranks without a launcher: the first has torch's store, which ends with it. What test_settings.py runs.

    python own_store.py NAME=VALUE,VALUE,...

Three ranks with a setting each, which end with what init_process_group raised; prints a line for each rank.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys


def start() -> None:
    name, _, values = sys.argv[1].partition("=")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(len(values.split(",")))}
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | job | {name: value, "RANK": str(rank), "TORCH_RING_HOST_ID": f"host-{rank}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, value in enumerate(values.split(","))
    ]
    for rank in ranks:
        print(rank.communicate(timeout=50)[0].strip())


def be_a_rank() -> None:
    import torch.distributed as dist

    try:
        dist.init_process_group("ring")
    except RuntimeError as error:
        print(type(error).__name__, str(error).replace("\n", " "))


if __name__ == "__main__":
    be_a_rank() if "RANK" in os.environ else start()
