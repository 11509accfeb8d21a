"""The runner's events: numbered, on disk before they are sent, kept until the gateway has them.

The file outlives the runner: what was never acknowledged is read by the gateway once the batch system says that the
allocation is over. In memory are only the latest ones; after a long silence of the gateway the rest is read back.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections import deque
from collections.abc import Iterable
from itertools import islice, takewhile
from pathlib import Path
from typing import Callable, NamedTuple

from ..wire.messages import EventFrame

REMEMBERED = 4096
"""Unacknowledged events in memory, some 2 KiB each."""
KEPT_BYTES = 16 * 1024 * 1024
"""Of a file that holds acknowledged events; it is then made shorter."""
RETRY = 5.0
"""Seconds between tries to write what a full spool refused."""

PREFIX = b'{"seq":'

encode = json.JSONEncoder(separators=(",", ":")).encode

logger = logging.getLogger(__name__)


class Numbered(NamedTuple):
    seq: int
    line: bytes


class Journal:
    def __init__(self, path: Path, remembered: int = REMEMBERED) -> None:
        self.acked = 0
        self.last = 0
        self.acknowledged: Callable[[], None] = lambda: None
        """Called when the gateway has more of it."""
        self._path = path
        self._file = path.open("ab", buffering=0)
        path.chmod(0o600)
        self._remembered = remembered
        self._recent: deque[Numbered] = deque()
        self._written = 0
        self._torn = False
        self._size = 0
        self._position = 0, 0
        self._changed: set[asyncio.Future[None]] = set()

    @property
    def pending(self) -> bool:
        """Whether there are events that the gateway may not have."""
        return self.acked < self.last

    def append(self, events: Iterable[EventFrame]) -> None:
        """Number them, and write them all at once."""
        for event in events:
            self.last += 1
            self._recent.append(Numbered(self.last, encode({"seq": self.last, **event}).encode()))
        self._write()
        while len(self._recent) > self._remembered and self._recent[0].seq <= self._written:
            self._recent.popleft()
        self._notify()

    def acknowledge(self, seq: int) -> None:
        self.acked = max(self.acked, seq)
        while self._recent and self._recent[0].seq <= self.acked:
            self._recent.popleft()
        if self._size > KEPT_BYTES and self._written == self.last:
            self._shorten()
        self._notify()
        self.acknowledged()

    def after(self, seq: int, limit: int) -> list[Numbered]:
        """The next events after `seq`, at most `limit`."""
        first = self._recent[0].seq if self._recent else self.last + 1
        if seq + 1 < first:
            return self._read(seq, first, limit)
        start = seq + 1 - first
        return list(islice(self._recent, start, start + limit))

    async def longer(self, seq: int) -> None:
        """Return when there are events after `seq`."""
        while self.last <= seq:
            await self._change()

    async def all_acknowledged(self) -> None:
        while self.pending:
            await self._change()

    async def keep_writing(self) -> None:
        """Try again, now and then, what the spool did not take: the next event may be long in coming."""
        while True:
            await asyncio.sleep(RETRY)
            if self._written < self.last:
                self._write()

    def close(self) -> None:
        self._file.close()

    def _write(self) -> None:
        """What the spool does not take stays in memory and is tried again with the next event, or by `keep_writing`."""
        unwritten = list(takewhile(lambda event: event.seq > self._written, reversed(self._recent)))
        lines = b"".join([event.line + b"\n" for event in reversed(unwritten)])
        data = b"\n" + lines if self._torn else lines
        try:
            taken = self._file.write(data)
            self._size += taken
            self._torn = taken != len(data)
        except OSError as error:
            logger.error("%s: %s", self._path, error)
            self._torn = True
        if not self._torn:
            self._written = self.last

    def _shorten(self) -> None:
        """The gateway has most of it: a runner for many pods must not fill the spool with what nobody needs."""
        if len(self._recent) < self.last - self.acked:
            return
        lines = b"".join([event.line + b"\n" for event in self._recent])
        try:
            if lines:
                self._replace(lines)
            else:
                self._file.truncate(0)
        except OSError as error:
            logger.error("%s: %s", self._path, error)
            return
        self._size = len(lines)
        self._torn = False
        self._position = 0, 0

    def _replace(self, lines: bytes) -> None:
        """In one step: these are not acknowledged yet."""
        path = Path(f"{self._path}.new")
        path.unlink(missing_ok=True)
        file = path.open("ab", buffering=0)
        try:
            path.chmod(0o600)
            if file.write(lines) != len(lines):
                raise OSError(errno.ENOSPC, "not all of it was written")
            path.rename(self._path)
        except OSError:
            file.close()
            raise
        self._file.close()
        self._file = file

    def _read(self, after: int, before: int, limit: int) -> list[Numbered]:
        """From the file, going on where the last call stopped."""
        seq, offset = self._position if self._position[0] <= after else (0, 0)
        found: list[Numbered] = []
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                offset += len(line)
                seq = _seq_of(line) or seq
                if after < seq < before and (not found or seq > found[-1].seq):
                    found.append(Numbered(seq, line.rstrip(b"\n")))
                if len(found) == limit:
                    break
        self._position = seq, offset
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


def _seq_of(line: bytes) -> int:
    """0 for a line that a full disk cut."""
    if not (line.startswith(PREFIX) and line.endswith(b"}\n")):
        return 0
    return int(line[len(PREFIX) : line.index(b",")])
