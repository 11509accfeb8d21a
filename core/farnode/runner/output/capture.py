"""The writing side of logs: what a container prints, from its pipes into its log file."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Callable

from ...wire.crilog import Encoder
from ...wire.messages import Limits
from .pipes import Readers
from .rotating import RotatingLog

CHUNK = 64 * 1024
"""Bytes read in one turn of the loop: a container that floods gets one turn like everyone else."""
TAIL = 4096
"""Bytes of an output kept in memory, to tell why something failed."""

logger = logging.getLogger(__name__)


class LogFile(RotatingLog):
    """The log of one run of a container: one writer, any number of followers, who are told when it has grown."""

    def __init__(self, path: str, limits: Limits) -> None:
        super().__init__(path, limits)
        self.ended = False
        self._broken = False
        self._followers: set[asyncio.Future[None]] = set()

    def write(self, entries: bytes) -> None:
        """What a full disk refuses is lost, and said once: a container must not end because its log cannot grow."""
        try:
            self.append(entries)
        except OSError as error:
            if not self._broken:
                logger.error("%s: output is lost: %s", self.path, error)
            self._broken = True
        self._wake()

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.close()
            self._wake()

    async def grown(self, size: int) -> None:
        """Return when it is longer than `size`, or has ended."""
        while self.size <= size and not self.ended:
            follower: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._followers.add(follower)
            try:
                await follower
            finally:
                self._followers.discard(follower)

    def _wake(self) -> None:
        for follower in self._followers:
            if not follower.done():
                follower.set_result(None)


class Capture:
    """Reads one output of a container to its end; `closed` is done then. Owns `descriptor`, a pipe or a terminal.
    `show` is given all that is read, too."""

    def __init__(
        self, descriptor: int, stream: str, log: LogFile, show: Callable[[bytes], None], readers: Readers
    ) -> None:
        self.tail = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._descriptor = descriptor
        self._log = log
        self._show = show
        self._encoder = Encoder(stream)
        self._readers = readers
        os.set_blocking(descriptor, False)
        readers.add(descriptor, self.read)

    def close(self) -> None:
        """Whatever is still to come: nobody reads it."""
        if self.closed.done():
            return
        self._readers.remove(self._descriptor)
        os.close(self._descriptor)
        rest = self._encoder.finish(time.time_ns())
        if rest:
            self._log.write(rest)
        self.closed.set_result(None)

    def read(self) -> None:
        """What is there, if it is not closed."""
        if self.closed.done():
            return
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # a terminal whose last process is gone
            data = b""
        if not data:
            self.close()
            return
        self.tail = data[-TAIL:] if len(data) >= TAIL else (self.tail + data)[-TAIL:]
        self._show(data)
        entries = self._encoder.feed(data, time.time_ns())
        if entries:
            self._log.write(entries)
