"""One program of the control plane as a process that can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed import host

START, END = 60.0, 15.0
"""Seconds a component may take, on a busy machine."""


def reserve() -> socket.socket:
    """A free port of the loopback interface that stays ours while the socket lives; whoever serves on it shares it
    (`SO_REUSEPORT`), and this socket takes no connection."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


def port(held: socket.socket) -> int:
    number: int = held.getsockname()[1]
    return number


@dataclass(slots=True)
class Component:
    """`health` is a URL that answers 200 once it is ready; `trust` is the authority of its certificate.

    `starter` has one thread, which lasts: the kernel ends the process when the *thread* that started it ends, so with
    the process of the tests, however that dies, its components end too.
    """

    name: str
    argv: Sequence[str]
    health: str
    trust: Path
    log: Path
    starter: ThreadPoolExecutor
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns while it is still starting; see :meth:`wait`."""
        assert not self.is_running, f"{self.name} runs"
        self._process = self.starter.submit(self._launch).result()

    def _launch(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )

    def wait(self) -> None:
        try:
            host.wait_until(lambda: not self.is_running or self.is_ready(), f"{self.name} is ready", START)
        except host.TestbedError as error:
            raise host.TestbedError(f"{error}: {self._said()}") from None
        if not self.is_running:
            raise host.TestbedError(f"{self.name} did not start: {self._said()}")

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.trust)) if self.health.startswith("https:") else None
        try:
            with urllib.request.urlopen(self.health, timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def send(self, number: int) -> None:
        """A signal, e.g. SIGSTOP: it is there and answers nobody."""
        os.kill(self.pid, number)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Ends it; it is gone when this returns."""
        self.send(number)
        assert self._process is not None
        self._process.wait(END)
        self._process = None
