"""Connections to a port of one address that end at another, as those to a container's mapped port do.

As a program, in the namespace of a host: forward.py ADDRESS PORT TO_ADDRESS TO_PORT.
"""

from __future__ import annotations

import asyncio
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the program needs none of it
    from support.scene import Scene


@contextmanager
def forward(
    scene: Scene, host: int, address: str, port: int, to_address: str, to_port: int
) -> Iterator[None]:
    command = [sys.executable, __file__, address, str(port), to_address, str(to_port)]
    process = subprocess.Popen(
        ["ip", "netns", "exec", scene.namespace(host), *command], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], 10)
        assert ready and process.stdout.readline() == "forwards\n"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(address: str, port: str, to_address: str, to_port: str) -> None:
    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(to_address, int(to_port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    server = await asyncio.start_server(join, address, int(port))
    print("forwards", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
