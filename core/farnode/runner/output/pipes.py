"""Reading and writing of non-blocking descriptors (pipes, terminals) from coroutines."""

from __future__ import annotations

import asyncio
import os
import select
from typing import Callable

CHUNK = 64 * 1024
AT_ONCE = 256
"""Descriptors that are read in one turn of the loop."""


class Readers:
    """Tells of descriptors that can be read, as the loop's `add_reader` does, for a fraction of its cost: the loop
    watches one descriptor for all of them."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._ready)

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._epoll.register(descriptor, select.EPOLLIN)
        self._callbacks[descriptor] = callback

    def remove(self, descriptor: int) -> None:
        """Before it is closed."""
        self._epoll.unregister(descriptor)
        del self._callbacks[descriptor]

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        for descriptor, _ in self._epoll.poll(0, AT_ONCE):
            callback = self._callbacks.get(descriptor)
            if callback is not None:  # else: one before it closed it
                callback()


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


class Sink:
    """The writing end of a pipe or terminal, owned by it; who writes at the same time takes turns."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._turn = asyncio.Lock()
        self._ready: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """All of it; raises OSError when nobody reads any more, or once it is closed."""
        async with self._turn:
            while data:
                if self._descriptor is None:
                    raise BrokenPipeError("it is closed")
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    await self._writable(self._descriptor)

    def close(self) -> None:
        """Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        asyncio.get_running_loop().remove_writer(descriptor)
        os.close(descriptor)
        if self._ready is not None:
            _done(self._ready)

    async def _writable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_writer(descriptor, _done, self._ready)
        try:
            await self._ready
        finally:
            if self._descriptor is not None:
                loop.remove_writer(descriptor)


def _done(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
