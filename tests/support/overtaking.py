"""A wire between two hosts of a lab on which packets may be overtaken by those behind them.

As a program, in the namespace of two network devices, it is that wire: overtaking.py DEVICE DEVICE EVERY.
(The kernel's netem would do it, but not every kernel has it.)
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the program needs none of it
    from harness.lab import Lab

HELD_S = 0.004  # so long a packet waits, while others pass
MUCH = 1000  # bytes

# From <linux/if_packet.h>, <linux/if_ether.h> and <asm/socket.h>. With the header of virtio_net packets keep
# what the kernel knows of them: that they are to be cut into segments, and want a checksum.
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING, ETH_P_ALL, SO_RCVBUFFORCE = 263, 15, 4, 3, 33
LARGEST = 1 << 17


@contextmanager
def wire(lab: Lab, one: int, other: int, every: int) -> Iterator[None]:
    """Two hosts are joined by such a wire instead of the switch, which the others keep.

    One of `every` so many packets that carry much is overtaken; 0: none.
    """
    inside = ["ip", "netns", "exec", f"{lab.name}.switch"]
    ports = [f"port{one}", f"port{other}"]

    def plug(*into: str) -> None:
        for port in ports:
            subprocess.run([*inside, "ip", "link", "set", port, *into], check=True, timeout=10)

    plug("nomaster")
    command = [*inside, sys.executable, __file__, *ports, str(every)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], 10)
        assert ready and process.stdout.readline() == "joined\n"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)
        plug("master", "br0")


def stay_on_one_core() -> None:
    """To be called by all at both ends: then nothing but the wire lets packets be overtaken.

    Each core has a queue of its own for what goes to another namespace.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def device(name: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    opened.bind((name, 0))
    opened.setblocking(False)
    return opened


def send(target: socket.socket, packet: bytes) -> None:
    try:
        target.send(packet)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.ENOBUFS):  # as a wire loses what is too much
            raise


def join(one: socket.socket, other: socket.socket, every: int) -> None:
    """Never returns."""
    held: list[tuple[float, int, socket.socket, bytes]] = []
    numbers = itertools.count(1)
    while True:
        left = max(0.0, held[0][0] - time.monotonic()) if held else None
        readable, _, _ = select.select([one, other], [], [], left)
        for source in readable:
            packet, (_, _, kind, *_) = source.recvfrom(LARGEST)
            if kind == PACKET_OUTGOING:
                continue
            target = other if source is one else one
            if every and len(packet) >= MUCH and (number := next(numbers)) % every == 0:
                heapq.heappush(held, (time.monotonic() + HELD_S, number, target, packet))
            else:
                send(target, packet)
        while held and held[0][0] <= time.monotonic():
            _, _, target, packet = heapq.heappop(held)
            send(target, packet)


if __name__ == "__main__":
    stay_on_one_core()
    ends = device(sys.argv[1]), device(sys.argv[2])
    print("joined", flush=True)
    join(*ends, every=int(sys.argv[3]))
