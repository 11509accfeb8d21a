"""The standard streams of one run of a container: input from those attached, output to its log and to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial

from ...wire.frames import Channel
from ...wire.messages import ContainerOrder
from ..processes.spawn import Stdio
from . import pty
from .capture import Capture, LogFile
from .pipes import Readers, Sink
from .viewer import Viewer


class StandardStreams:
    """Construction opens them, and `begin` or `abandon` closes the container's ends, `theirs`.

    Input is kept open where the container asks for it: one that is not attached reads nothing and waits. With
    `stdin_once` it ends with the first one who was attached to it; else it stays open for the next (v1.Container).
    """

    def __init__(self, order: ContainerOrder, readers: Readers) -> None:
        self.once = order.get("stdin_once", False)
        self._readers = readers
        self._terminal: int | None = None
        self._input: Sink | None = None
        self._outputs: dict[Channel, int] = {}
        self._captures: list[Capture] = []
        self._viewers: set[Viewer] = set()
        self._closed = False
        stdin = order.get("stdin", False)
        self.theirs: Stdio = self._open_terminal(stdin) if order.get("tty", False) else self._open_pipes(stdin)

    def begin(self, log: LogFile) -> None:
        """The container has its ends: read its output from now on."""
        self._release()
        for channel, descriptor in self._outputs.items():
            name = channel.name.lower()
            self._captures.append(Capture(descriptor, name, log, partial(self._show, channel), self._readers))

    def abandon(self) -> None:
        """The container could not be started."""
        self._release()
        self.close_input()
        self._close_terminal()
        for descriptor in self._outputs.values():
            os.close(descriptor)

    @property
    def captures(self) -> list[Capture]:
        """Of standard error last, where it is one of its own."""
        return self._captures

    def close(self) -> None:
        """Whatever is still to come: nobody reads it, and those attached have been given everything."""
        self._closed = True
        self.close_input()
        for capture in self._captures:
            capture.close()
        self._close_terminal()
        for viewer in self._viewers:
            viewer.end()

    # ---- for those attached --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def shown_to(self, viewer: Viewer) -> Iterator[None]:
        """What the container puts out meanwhile."""
        self._viewers.add(viewer)
        if self._closed:
            viewer.end()
        try:
            yield
        finally:
            self._viewers.discard(viewer)

    async def feed(self, data: bytes) -> None:
        """Input; returns when it is taken, and at once where the container has no input (any more)."""
        if self._input is None:
            return
        try:
            await self._input.write(data)
        except OSError:  # it reads no more
            self.close_input()

    async def end_input(self) -> None:
        """Whoever fed it has left."""
        if self.once:
            if self._terminal is not None:
                await self.feed(pty.END_OF_INPUT)
            self.close_input()

    def close_input(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None

    def resize(self, rows: int, columns: int) -> None:
        if self._terminal is not None:
            pty.resize(self._terminal, rows, columns)

    # ---- inside --------------------------------------------------------------------------------------------------

    def _open_terminal(self, stdin: bool) -> Stdio:
        ours, theirs = pty.open_terminal()
        self._terminal = os.dup(ours)
        self._outputs = {Channel.STDOUT: ours}
        if stdin:
            self._input = Sink(os.dup(ours))
        return theirs, theirs, theirs

    def _open_pipes(self, stdin: bool) -> Stdio:
        out, err = os.pipe(), os.pipe()
        self._outputs = {Channel.STDOUT: out[0], Channel.STDERR: err[0]}
        theirs = None
        if stdin:
            theirs, ours = os.pipe()
            self._input = Sink(ours)
        return theirs, out[1], err[1]

    def _close_terminal(self) -> None:
        """Not before the container's end: a process that has closed its streams but not yet ended would get SIGHUP."""
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    def _release(self) -> None:
        for descriptor in {one for one in self.theirs if one is not None}:
            os.close(descriptor)

    def _show(self, channel: Channel, data: bytes) -> None:
        for viewer in self._viewers:
            viewer.show(channel, data)
