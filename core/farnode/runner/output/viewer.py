"""One who watches the output of a container: given everything, never waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

from ...wire.frames import Channel
from ...wire.link import Data

BACKLOG = 4 * 1024 * 1024
"""Bytes one may be behind. Others let such a one block the container; here it is the viewer who is cut off."""


class Viewer:
    def __init__(self, wanted: Collection[Channel]) -> None:
        self.behind = False
        """It was too slow: what came since is lost to it."""
        self._wanted = wanted
        self._chunks: deque[Data] = deque()
        self._size = 0
        self._ended = False
        self._changed = asyncio.Event()

    def show(self, channel: Channel, data: bytes) -> None:
        if channel not in self._wanted or self.behind:
            return
        self._size += len(data)
        self.behind = self._size > BACKLOG
        if self.behind:
            self._chunks.clear()
        else:
            self._chunks.append(Data(channel, data))
        self._changed.set()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._changed.set()

    async def next(self) -> Data | None:
        """What came first of what was not taken yet; None at the end, and when it is behind."""
        while not self._chunks and not self._ended and not self.behind:
            self._changed.clear()
            await self._changed.wait()
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self._size -= len(chunk.data)
        return chunk
