"""What /proc says about a process."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"  # the state in /proc/net/tcp


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far, in steps of a clock tick (10 ms)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> list[str]:
    """What each open descriptor points to: a path, "socket:[inode]", "anon_inode:[eventfd]"."""
    targets = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(entry.readlink()))
    return targets


def listening_ports(pid: int) -> list[int]:
    """The TCP ports on which the process listens."""
    own = set(descriptors(pid))
    ports = set()
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in own:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return sorted(ports)


@dataclass(frozen=True)
class Footprint:
    """What a process takes of the machine's finite things."""

    threads: int
    descriptors: int
    mappings: int
    resident: int  # bytes, all of what it shares included: what others do does not change it
    proportional: int  # bytes, of what it shares its part

    @classmethod
    def of(cls, pid: int) -> Footprint:
        folder = Path(f"/proc/{pid}")
        sizes = {}
        for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
            name, size = line.split()[:2]
            sizes[name] = int(size) * 1024
        return cls(
            threads=len(list((folder / "task").iterdir())),
            descriptors=len(descriptors(pid)),
            mappings=len((folder / "maps").read_text().splitlines()),
            resident=sizes["Rss:"],
            proportional=sizes["Pss:"],
        )
