"""Streams of kind "exec": one more process in a running container, its input and output on the stream.

It lives no longer than its stream, its container, or itself.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import termios
from collections.abc import Sequence
from typing import Any

from ...wire.frames import Channel
from ...wire.link import Data, Stream, StreamClosed
from ...wire.messages import ExecOptions
from ..pods.attempt import Attempt
from ..pods.container import Container
from ..processes.children import Child
from ..processes.leftovers import kill_trees
from ..processes.spawn import Stdio
from ..runtime import Command
from . import pipes, pty
from .logs import Unavailable

DRAIN = 2.0
"""Seconds to wait for the rest of the output when the process is gone but a child of it holds the pipe."""


class Session:
    """The process and our ends of its pipes, or of its terminal (one descriptor for all)."""

    def __init__(self, attempt: Attempt, command: Command, options: ExecOptions) -> None:
        self.terminal: int | None = None
        self.input: pipes.Sink | None = None
        self.outputs: dict[Channel, int] = {}
        self._theirs: list[int] = []
        stdio = self._open_terminal(options) if options.get("tty") else self._open_pipes(options)
        try:
            self.child: Child = attempt.host.children.start(command, stdio)
        except BaseException:
            self.close()
            raise
        finally:
            for descriptor in self._theirs:
                os.close(descriptor)

    def close(self) -> None:
        self.close_input()
        for descriptor in self.outputs.values():
            os.close(descriptor)
        self.terminal = None
        self.outputs = {}

    async def feed(self, data: bytes) -> None:
        if self.input is not None:
            try:
                await self.input.write(data)
            except OSError:  # it reads no more
                self.close_input()

    def close_input(self) -> None:
        if self.input is not None:
            self.input.close()
            self.input = None

    def _open_terminal(self, options: ExecOptions) -> Stdio:
        ours, theirs = pty.open_terminal(options.get("rows", 24), options.get("cols", 80))
        self.terminal = ours
        self.input = pipes.Sink(os.dup(ours))
        self.outputs = {Channel.STDOUT: ours}
        self._theirs = [theirs]
        return theirs, theirs, theirs

    def _open_pipes(self, options: ExecOptions) -> Stdio:
        out, err = os.pipe(), os.pipe()
        self.outputs = {Channel.STDOUT: out[0], Channel.STDERR: err[0]}
        self._theirs = [out[1], err[1]]
        stdin: int | None = None
        if options.get("stdin"):
            stdin, ours = os.pipe()
            self.input = pipes.Sink(ours)
            self._theirs.append(stdin)
        for descriptor in self.outputs.values():
            os.set_blocking(descriptor, False)
        return stdin, out[1], err[1]


async def serve(stream: Stream, container: Container, options: Any) -> None:
    instance = container.instance
    if instance is None:
        raise Unavailable(f'container not found ("{container.name}")')
    try:
        command = await instance.one_more(options.get("command", []), options.get("tty", False))
        session = Session(container.attempt, command, options)
    except (OSError, ValueError) as error:
        raise Unavailable(f"exec failed: {error}") from error
    instance.execs.add(session.child.pid)
    pumps = [_Pump(stream, channel, descriptor) for channel, descriptor in session.outputs.items()]
    pumping: set[asyncio.Future[None]] = {asyncio.ensure_future(pump.run()) for pump in pumps}
    feeding = asyncio.ensure_future(_feed(stream, session))
    closed = asyncio.ensure_future(stream.closed())
    try:
        ends: list[asyncio.Future[Any]] = [session.child.exited, closed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if session.child.exited.done():
            await _drained(pumps, pumping)
            await stream.close(exit_code=session.child.exited.result())
    finally:
        if not session.child.exited.done():
            kill_trees([session.child.pid])
        for task in (feeding, closed, *pumping):
            task.cancel()
        await asyncio.gather(feeding, closed, *pumping, return_exceptions=True)
        instance.execs.discard(session.child.pid)
        session.close()


class _Pump:
    """One output, from its pipe onto the stream as fast as that is read."""

    def __init__(self, stream: Stream, channel: Channel, descriptor: int) -> None:
        self._stream = stream
        self._channel = channel
        self._descriptor = descriptor
        self._taken = self.sent = 0

    async def run(self) -> None:
        with contextlib.suppress(StreamClosed, OSError):
            while True:
                data = await pipes.read(self._descriptor)
                if not data:
                    return
                self._taken += len(data)
                await self._stream.send(self._channel, data)
                self.sent += len(data)

    @property
    def written(self) -> int:
        """Bytes that came out of the process and its children so far, what is still in the pipe with them."""
        waiting: array.array[int] = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._descriptor, termios.FIONREAD, waiting)
        return self._taken + waiting[0]


async def _drained(pumps: Sequence[_Pump], pumping: set[asyncio.Future[None]]) -> None:
    """The process is gone: return when all it wrote was sent, however slowly that is read, and no child of it holds
    the pipes any more, or not for long."""
    owed = [pump.written for pump in pumps]
    while pumping:
        _, pumping = await asyncio.wait(pumping, timeout=DRAIN)
        if all(pump.sent >= bytes_ for pump, bytes_ in zip(pumps, owed)):
            return


async def _feed(stream: Stream, session: Session) -> None:
    """Until the stream is closed."""
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data):
            await session.feed(item.data)
        elif item["type"] == "eof" and session.terminal is not None:
            await session.feed(pty.END_OF_INPUT)
        elif item["type"] == "eof":
            session.close_input()
        elif item["type"] == "resize" and session.terminal is not None:
            pty.resize(session.terminal, item["rows"], item["cols"])
