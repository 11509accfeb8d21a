"""The runner's events: numbered, on disk before they are sent, kept until the gateway has them.

The file outlives the runner: what was never acknowledged is read by the gateway once the batch system says that the
allocation is over. In memory are only the latest ones; after a long silence of the gateway the rest is read back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from pathlib import Path
from typing import NamedTuple

from ..wire.messages import EventFrame

REMEMBERED = 4096
"""Unacknowledged events in memory, some 2 KiB each."""

logger = logging.getLogger(__name__)


class Numbered(NamedTuple):
    seq: int
    line: bytes


class Journal:
    def __init__(self, path: Path, remembered: int = REMEMBERED) -> None:
        self.acked = 0
        self.last = 0
        self._path = path
        self._file = path.open("ab", buffering=0)
        path.chmod(0o600)
        self._remembered = remembered
        self._recent: deque[Numbered] = deque()
        self._changed: set[asyncio.Future[None]] = set()

    def append(self, event: EventFrame) -> None:
        self.last += 1
        line = json.dumps({"seq": self.last, **event}, separators=(",", ":")).encode()
        written = self._write(line + b"\n")
        self._recent.append(Numbered(self.last, line))
        if written and len(self._recent) > self._remembered:
            self._recent.popleft()
        self._notify()

    def acknowledge(self, seq: int) -> None:
        self.acked = max(self.acked, seq)
        while self._recent and self._recent[0].seq <= self.acked:
            self._recent.popleft()
        self._notify()

    def after(self, seq: int, limit: int) -> list[Numbered]:
        """The next events after `seq`, at most `limit`."""
        first = self._recent[0].seq if self._recent else self.last + 1
        if seq + 1 < first:
            return self._read(seq, first, limit)
        start = seq + 1 - first
        return [self._recent[i] for i in range(start, min(len(self._recent), start + limit))]

    async def longer(self, seq: int) -> None:
        """Return when there are events after `seq`."""
        while self.last <= seq:
            await self._change()

    async def all_acknowledged(self) -> None:
        while self.acked < self.last:
            await self._change()

    def close(self) -> None:
        self._file.close()

    def _write(self, line: bytes) -> bool:
        """False when the spool does not take it: then memory is all that keeps it."""
        try:
            return self._file.write(line) == len(line)
        except OSError as error:
            logger.error("%s: %s", self._path, error)
            return False

    def _read(self, after: int, before: int, limit: int) -> list[Numbered]:
        found = []
        with self._path.open("rb") as file:
            for line in file:
                if not line.startswith(b'{"seq":'):
                    continue
                seq = int(line[7 : line.index(b",")])
                if after < seq < before:
                    found.append(Numbered(seq, line.rstrip(b"\n")))
                    if len(found) == limit:
                        break
        return found

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed.add(waiter)
        try:
            await waiter
        finally:
            self._changed.discard(waiter)

    def _notify(self) -> None:
        for waiter in self._changed:
            if not waiter.done():
                waiter.set_result(None)
