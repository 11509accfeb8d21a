"""What a client sent on one of its streams and nobody has read yet: bounded, its writer waits."""

from __future__ import annotations

import asyncio
from collections import deque

_WAITING = 256 * 1024
"""Bytes."""


class Inbox:
    """One reader, one writer."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        """The client has let go of the stream, or has gone."""
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._complete = False
        self._dropping = False
        self._changed = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        return self._complete

    async def receive(self) -> bytes:
        """b"" when the client has ended the stream; ConnectionError when it has let go of it."""
        while not self._chunks:
            if self.over.is_set():
                raise ConnectionResetError("the client has reset the stream")
            if self._complete:
                return b""
            await self._change()
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        self._changed.set()
        return chunk

    async def put(self, data: bytes) -> None:
        """Waits while too much is unread."""
        while self._size >= _WAITING and not self._is_idle:
            await self._change()
        if data and not self._is_idle:
            self._chunks.append(data)
            self._size += len(data)
            self._changed.set()

    def complete(self) -> None:
        """The client sends no more."""
        self._complete = True
        self._changed.set()

    def close(self) -> None:
        """The client has let go of the stream: what is unread is lost."""
        self.over.set()
        self.drop()

    def drop(self) -> None:
        """Nobody reads any more."""
        self._dropping = True
        self._chunks.clear()
        self._size = 0
        self._changed.set()

    @property
    def _is_idle(self) -> bool:
        return self._dropping or self.over.is_set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
