"""The writing side of logs: what a container prints, from its pipes into its log file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time

from ..wire.crilog import Encoder

CHUNK = 64 * 1024
"""Bytes read in one turn of the loop: a container that floods gets one turn like everyone else."""
TAIL = 4096
"""Bytes of an output kept in memory, to tell why something failed."""

logger = logging.getLogger(__name__)


class LogFile:
    """The log of one run of a container: one writer, any number of followers, who are told when it has grown."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self.ended = False
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._broken = False
        self._followers: set[asyncio.Future[None]] = set()

    def write(self, data: bytes) -> None:
        """What a full disk refuses is lost, and said once: a container must not end because its log cannot grow."""
        try:
            while data:
                written = os.write(self._descriptor, data)
                self.size += written
                data = data[written:]
        except OSError as error:
            if not self._broken:
                logger.error("%s: output is lost: %s", self.path, error)
            self._broken = True
        self._wake()

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._wake()

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)

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
    """Reads one output of a container to its end; `closed` is done then. Owns `descriptor`, a pipe or a terminal."""

    def __init__(self, descriptor: int, stream: str, log: LogFile) -> None:
        loop = asyncio.get_running_loop()
        self.tail = b""
        self.closed: asyncio.Future[None] = loop.create_future()
        self._descriptor = descriptor
        self._log = log
        self._encoder = Encoder(stream)
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Whatever is still to come: nobody reads it."""
        if self.closed.done():
            return
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._log.write(self._encoder.finish(time.time_ns()))
        self.closed.set_result(None)

    def _read(self) -> None:
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
        entries = self._encoder.feed(data, time.time_ns())
        if entries:
            self._log.write(entries)
