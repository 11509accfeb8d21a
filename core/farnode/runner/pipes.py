"""Reading and writing of non-blocking descriptors (pipes, terminals) from coroutines."""

from __future__ import annotations

import asyncio
import os

CHUNK = 64 * 1024


async def read(descriptor: int) -> bytes:
    """The next bytes; empty at the end, which is what a terminal's last process leaves, too."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(descriptor, CHUNK)
        except BlockingIOError:
            pass
        except OSError:
            return b""
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _done, ready)
        try:
            await ready
        finally:
            loop.remove_reader(descriptor)


async def write(descriptor: int, data: bytes) -> None:
    """All of it; raises OSError when nobody reads any more."""
    loop = asyncio.get_running_loop()
    while data:
        try:
            data = data[os.write(descriptor, data) :]
            continue
        except BlockingIOError:
            pass
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(descriptor, _done, ready)
        try:
            await ready
        finally:
            loop.remove_writer(descriptor)


def _done(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
