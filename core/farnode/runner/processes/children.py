"""The processes this runner starts and reaps, without a thread or a poll for any of them.

SIGCHLD leads to one `waitpid(-1)` loop: it reaps what was started here and the orphans that come to the runner because
it is a subreaper. Every process begins its own session, inherits no descriptor but its three, and has exactly the
environment of its command.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Collection
from typing import NamedTuple

from ..runtime import Command
from .spawn import Stdio, spawn

PR_SET_CHILD_SUBREAPER = 36


class Child(NamedTuple):
    """`exited` gets the exit code, 128 + n where signal n ended it. The session's number is `pid`."""

    pid: int
    exited: asyncio.Future[int]


class Children:
    def __init__(self) -> None:
        self._running: dict[int, Child] = {}
        self.pids: Collection[int] = self._running.keys()
        """Of those that run."""
        self._deaths: set[asyncio.Future[None]] = set()

    def watch(self) -> None:
        """Reap from now on; orphans of what was started here come here, and nothing started here dumps core."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._awake, waking = socket.socketpair()
        self._awake.setblocking(False)
        waking.setblocking(False)
        self._waking = waking
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)  # of hundreds of deaths one is enough
        asyncio.get_running_loop().add_reader(self._awake, self._woken)

    def unwatch(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asyncio.get_running_loop().remove_reader(self._awake)
        self._awake.close()
        self._waking.close()

    def start(self, command: Command, stdio: Stdio) -> Child:
        """Raises OSError when the program cannot be executed."""
        child = Child(spawn(command, stdio), asyncio.get_running_loop().create_future())
        self._running[child.pid] = child
        return child

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            child = self._running.pop(pid, None)
            if child is not None and not child.exited.done():
                code = os.waitstatus_to_exitcode(status)
                child.exited.set_result(code if code >= 0 else 128 - code)
        for waiter in self._deaths:
            if not waiter.done():
                waiter.set_result(None)

    def _woken(self) -> None:
        """By a signal, whichever. Not by the loop's own handlers: for each they write to themselves once more."""
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(4096)
        self.reap()

    async def death(self, seconds: float) -> None:
        """Return when any process has been reaped, or after so many seconds."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deaths.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._deaths.discard(waiter)
