"""The place whose hosts are network namespaces: the one wrapper of scripts/netlab."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from harness.layout import Layout
from harness.places import ROOT, Place

NETLAB = ROOT / "scripts" / "netlab"


def netlab(lab: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs scripts/netlab on the lab of that name, whatever comes of it."""
    return subprocess.run(
        [str(NETLAB), *arguments],
        env=os.environ | {"LAB": lab},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Lab(Place):
    """Each host is a namespace of a lab of its own. `rate` is that of all links, as netlab takes it.

    `name` tells it from others that are there at the same time.
    """

    def __init__(self, hosts: int, name: str, rate: str = "none", modules: Sequence[str] = ()) -> None:
        super().__init__(modules)
        self.name = f"{name}-{os.getpid()}"
        self.hosts = hosts
        self.address = self.address_of(0)
        self.netlab("down")  # what a run of the same pid may have left when it was killed
        try:
            self.netlab("up", str(hosts), rate)
        except BaseException:  # interrupted half way
            self.netlab("down")
            raise

    def netlab(self, *arguments: str, timeout: float = 60) -> str:
        """Runs scripts/netlab on this lab and returns what it prints. Raises RuntimeError where it fails."""
        done = netlab(self.name, *arguments, timeout=timeout)
        if done.returncode:
            raise RuntimeError(f"netlab {' '.join(arguments)} failed: {done.stderr or done.stdout}")
        return done.stdout

    def address_of(self, host: int) -> str:
        return f"10.77.0.{host + 1}"

    def on_host(self, host: int, command: Sequence[str]) -> list[str]:
        return ["env", f"LAB={self.name}", str(NETLAB), "exec", str(host), *command]

    def host_env(self, layout: Layout, host: int) -> dict[str, str]:
        return {"GLOO_SOCKET_IFNAME": "eth0"}

    def close(self) -> None:
        super().close()
        self.netlab("down")
