"""Hosts with the network interfaces, addresses and names that a test gives them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from harness.layout import Layout
from harness.places import Place
from support import PRELOADED

NAMES = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"


class Scene(Place):
    """Each host is a namespace with a boot id and a host name of its own: another machine to its ranks.

    It begins with loopback alone. `name` tells it from others that are there at the same time. A switch is
    one more, in which no rank runs.
    """

    address = "127.0.0.1"

    def __init__(self, hosts: int, name: str, switch: bool = False) -> None:
        super().__init__(PRELOADED)
        self.name = f"{name}-{os.getpid()}"
        self.hosts = hosts
        self.switch = hosts  # its number, where there is one
        self._boots = tempfile.TemporaryDirectory(prefix="ring-boots-")
        self._all = range(hosts + switch)
        for host in self._all:
            self._boot_id(host).write_text(f"{uuid.uuid4()}\n")
            self._run("ip", "netns", "add", self.namespace(host))
            self.names(host)
            # Whoever asks for the name behind an address is told at once that there is no server.
            (Path("/etc/netns") / self.namespace(host) / "resolv.conf").write_text("")
            # Addresses are there at once, whoever else may have them.
            self.sysctl(host, "ipv6.conf.default.accept_dad=0", "ipv6.conf.default.dad_transmits=0")
            self.ip(host, "link", "set", "lo", "up")

    def namespace(self, host: int) -> str:
        return f"{self.name}.host{host}"

    def _boot_id(self, host: int) -> Path:
        return Path(self._boots.name) / str(host)

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, f"{' '.join(command)} failed: {done.stderr or done.stdout}"
        return done.stdout

    def ip(self, host: int, *arguments: str) -> str:
        return self._run("ip", "-n", self.namespace(host), *arguments)

    def batch(self, host: int, commands: list[str]) -> None:
        """Several commands of ip at once, which is quicker."""
        done = subprocess.run(
            ["ip", "-n", self.namespace(host), "-batch", "-"],
            input="\n".join(commands),
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, f"{commands} failed: {done.stderr or done.stdout}"

    def execute(self, host: int, *command: str) -> str:
        return self._run("ip", "netns", "exec", self.namespace(host), *command)

    def sysctl(self, host: int, *settings: str) -> None:
        self.execute(host, "sysctl", "-qw", *(f"net.{setting}" for setting in settings))

    def names(self, host: int, text: str = "") -> None:
        """What /etc/hosts says there, besides of loopback."""
        folder = Path("/etc/netns") / self.namespace(host)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts").write_text(text + NAMES)

    def cable(self, one: int, device: str, other: int, other_device: str) -> None:
        """Joins two hosts by interfaces that have no address yet."""
        far = ("type", "veth", "peer", "name", other_device, "netns", self.namespace(other))
        self.ip(one, "link", "add", device, *far)
        for host, name in ((one, device), (other, other_device)):
            self.ip(host, "link", "set", name, "up")

    def assign(self, host: int, device: str, *addresses: str) -> None:
        """Addresses with their prefix lengths: "10.78.0.1/24"."""
        for address in addresses:
            self.ip(host, "address", "add", address, "dev", device)

    def bridge(self, host: int, device: str, address: str) -> None:
        """A bridge that nothing is connected to, as docker0 is where no container runs."""
        self.ip(host, "link", "add", device, "type", "bridge")
        self.assign(host, device, address)
        self.ip(host, "link", "set", device, "up")

    def link_local(self, host: int, device: str) -> str:
        """The IPv6 address that the interface gave itself, without a zone."""
        for line in self.ip(host, "-6", "-o", "address", "show", "dev", device, "scope", "link").splitlines():
            return line.split()[3].partition("/")[0]
        raise AssertionError(f"{device} of host {host} has no link-local address")

    def on_host(self, host: int, command: Sequence[str]) -> list[str]:
        script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && hostname "$2" && shift 2 && exec "$@"'
        return [
            *("ip", "netns", "exec", self.namespace(host), "unshare", "-m", "-u"),
            *("sh", "-c", script, "sh", str(self._boot_id(host)), f"node{host}"),
            *command,
        ]

    def host_env(self, layout: Layout, host: int) -> dict[str, str]:
        return {}

    def close(self) -> None:
        super().close()
        for host in self._all:
            subprocess.run(["ip", "netns", "delete", self.namespace(host)], check=False, timeout=20)
            shutil.rmtree(Path("/etc/netns") / self.namespace(host), ignore_errors=True)
        self._boots.cleanup()
