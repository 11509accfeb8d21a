"""One machine of a site: its own root file system, processes, host name and devices, in a given network namespace.

All that is known of a running machine is a file with the identity of its first process, so any process on this host
can reach it, and one that comes after a crash can end it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed import host
from tests.testbed.build import FILES

USERS = {"root": 0, "alice": 1001, "bob": 1002}
ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER_PATH = "/usr/local/bin:/usr/bin:/bin"
NAMESPACES = ["--mount", "--pid", "--net", "--ipc", "--uts"]
IN_HOME = 'cd "$HOME" 2>/dev/null || cd /; exec "$@"'


@dataclass(frozen=True, slots=True)
class Process:
    """A process as seen inside a machine."""

    pid: int
    ppid: int
    uid: int
    cmdline: tuple[str, ...]
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Boot:
    """What a machine is put together from."""

    layers: Sequence[Path]
    """Read-only directories below what the machine writes, topmost first."""
    binds: Sequence[str]
    """``from:to`` or ``from:to:ro``: directories of this host that the machine shares."""
    init: str


class Inside(subprocess.Popen[str]):
    """A process inside a machine. Signals go to it, not to the helper on the host that entered for it."""

    def send_signal(self, sig: int) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        while self.poll() is None:
            if inner := children.read_text().split():
                try:
                    os.kill(int(inner[0]), sig)
                except ProcessLookupError:
                    self.wait()
                return
            time.sleep(0.001)


@dataclass(slots=True)
class Machine:
    """A machine called ``name``, with its files under ``directory``."""

    name: str
    namespace: str
    directory: Path
    _entrance: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def _identity(self) -> Path:
        return self.directory / f"{self.name}.pid"

    def pid(self) -> int | None:
        """Host pid of the machine's init, or None when it is off."""
        try:
            pid, started = json.loads(self._identity.read_text())
        except FileNotFoundError:
            return None
        return int(pid) if start_time(pid) == started else None

    def start(self, boot: Boot) -> None:
        """Switch on; returns when init says that its daemons are started."""
        disk = self.directory / self.name
        disk.mkdir(exist_ok=True)
        settings = {
            "PATH": ROOT_PATH,
            "NAME": self.name,
            "LAYERS": ":".join(map(str, boot.layers)),
            "DISK": str(disk),
            "BINDS": "\n".join(boot.binds),
            "INIT": boot.init,
        }
        enter = ["nsenter", f"--net=/run/netns/{self.namespace}"]
        fresh = ["unshare", "--mount", "--propagation=private", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        with self.log.open("ab") as log:
            self._entrance = entrance = subprocess.Popen(
                [*enter, *fresh, "sh", str(FILES / "boot.sh")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=settings,
                cwd="/",
                start_new_session=True,
            )
        children = Path(f"/proc/{entrance.pid}/task/{entrance.pid}/children")
        self._wait_or_tell(lambda: bool(children.read_text().strip()))
        pid = int(children.read_text())
        self._identity.write_text(json.dumps([pid, start_time(pid)]))
        self._wait_or_tell(Path(f"/proc/{pid}/root/run/ready").exists)

    def _wait_or_tell(self, condition: Callable[[], bool]) -> None:
        entrance = self._entrance
        assert entrance is not None

        def settled() -> bool:
            return entrance.poll() is not None or condition()

        host.wait_until(settled, f"{self.name} starts; see {self.log}")
        if entrance.poll() is not None:
            raise host.TestbedError(f"{self.name} did not start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Take the power away: every process of the machine is gone when this returns."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            host.wait_until(lambda: self.pid() is None, f"{self.name} ends")
        if self._entrance is not None:
            self._entrance.wait(10)
            self._entrance = None
        self._identity.unlink(missing_ok=True)

    def entering(
        self, user: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> tuple[list[str], dict[str, str]]:
        """Argument vector and environment that run ``argv`` as ``user`` in the user's home, as after a plain login."""
        pid = self.pid()
        if pid is None:
            raise host.TestbedError(f"{self.name} is off")
        home = "/root" if user == "root" else f"/home/{user}"
        login = {"HOME": home, "USER": user, "LOGNAME": user, "SHELL": "/bin/bash", "LANG": "C.UTF-8"}
        login["PATH"] = ROOT_PATH if user == "root" else USER_PATH
        enter = ["nsenter", f"--target={pid}", *NAMESPACES]
        become = ["setpriv", f"--reuid={USERS[user]}", f"--regid={USERS[user]}", "--clear-groups", "--pdeathsig=KILL"]
        drop = [] if user == "root" else ["--inh-caps=-all"]
        return [*enter, *become, *drop, "sh", "-c", IN_HOME, "sh", *argv], {**login, **(env or {})}

    def popen(
        self,
        user: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | None = subprocess.PIPE,
        stderr: int | None = subprocess.PIPE,
    ) -> Inside:
        """Start ``argv`` inside; it does not outlive the process that holds the result, but may leave daemons."""
        command, environ = self.entering(user, argv, env)
        return Inside(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=environ, encoding="utf-8", errors="replace"
        )

    def processes(self) -> list[Process]:
        """All processes of the machine, under the pids they have inside."""
        pid = self.pid()
        return [] if pid is None else _processes(Path(f"/proc/{pid}/root/proc"))


def start_time(pid: int) -> int | None:
    """When a process started, in the kernel's ticks; a pid alone may be somebody else's by now."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _processes(proc: Path) -> list[Process]:
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cmdline = (entry / "cmdline").read_text(errors="replace").split("\0")[:-1]
            pairs = (entry / "environ").read_text(errors="replace").split("\0")
            status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines() if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        environ = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        uid = int(status["Uid"].split()[0])
        found.append(Process(int(entry.name), int(status["PPid"]), uid, tuple(cmdline), environ))
    return sorted(found, key=lambda process: process.pid)
