"""What a container leaves behind when its main process is gone, found and killed.

Orphans come to the runner (a subreaper), so leftovers are children of the runner that it did not start. Whose they
are is told by their session, or by the marks in their environment. A process that left its session *and* emptied its
environment belongs to nobody known: it is killed when no other attempt is left on this runner.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable, NamedTuple

from ..runtimes.tree import PARENT, SESSION, STATE, stat_of

if TYPE_CHECKING:
    from .children import Children

PATIENCE = 0.2
"""Seconds until it is looked again; usually the death of what was killed is what is waited for."""
KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
BLOCK = 64 * 1024


class Mark(NamedTuple):
    """Whose a process is. It is in the environment of every process of a container."""

    attempt: str
    container: str

    def variables(self) -> dict[str, str]:
        return {"FARNODE_ATTEMPT": self.attempt, "FARNODE_CONTAINER": self.container}


def children_of(pid: int) -> list[int]:
    """Direct children, of all threads; none when the process is gone."""
    if not KERNEL_LISTS_CHILDREN:
        return scanned_children_of(pid)
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found


def own_children() -> list[int]:
    """Those of this process' first thread."""
    pid = os.getpid()
    if not KERNEL_LISTS_CHILDREN:
        return scanned_children_of(pid)
    return list(map(int, _read(f"/proc/self/task/{pid}/children").split()))


def scanned_children_of(pid: int) -> list[int]:
    """The same where the kernel was built without these lists."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(stat_of(int(name))[1][PARENT]) == pid:
                found.append(int(name))
    return found


def tree(pids: Iterable[int]) -> list[int]:
    """These processes and all below them."""
    found = list(pids)
    for pid in found:
        found += children_of(pid)
    return found


def kill_trees(pids: Iterable[int]) -> None:
    """SIGKILL. Each is stopped before its children are looked for: none can have another one meanwhile, nor restart
    what was killed, however fast it forks."""
    found = list(pids)
    for pid in found:
        _signal(pid, signal.SIGSTOP)
        found += children_of(pid)
    for pid in found:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def session_of(pid: int) -> int:
    """0 when the process is gone or a zombie."""
    try:
        _, fields = stat_of(pid)
    except OSError:
        return 0
    return 0 if fields[STATE] in b"ZX" else int(fields[SESSION])


def mark_of(pid: int) -> Mark | None:
    try:
        variables = _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return None
    found = {"FARNODE_ATTEMPT": "", "FARNODE_CONTAINER": ""}
    for variable in variables:
        name, _, value = variable.decode("utf-8", "replace").partition("=")
        if name in found:
            found[name] = value
    return Mark(found["FARNODE_ATTEMPT"], found["FARNODE_CONTAINER"]) if found["FARNODE_ATTEMPT"] else None


def _read(path: str) -> bytes:
    """A file of /proc, whole."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while data := os.read(descriptor, BLOCK):
            content += data
        return content
    finally:
        os.close(descriptor)


class Leftovers:
    def __init__(self, children: Children) -> None:
        self._children = children

    async def clear(self, mark: Mark, session: int) -> bool:
        """Kill what is left of one run of a container, whose main process has ended; returns when nothing of it lives
        that is known to be its own: whether there is nothing else, either, that could be."""
        while True:
            orphans = self._orphans()
            left = [pid for pid in orphans if self._belongs(pid, mark, session)]
            if not left:
                return not orphans
            kill_trees(left)
            await self._children.death(PATIENCE)

    async def gone(self, pids: Iterable[int]) -> None:
        """Return when none of these, which were started here and killed, lives."""
        waited = set(pids)
        while not waited.isdisjoint(self._children.pids):
            await self._children.death(PATIENCE)

    def of(self, mark: Mark, session: int) -> list[int]:
        """Its orphans that are known to be: daemons whose parents have ended."""
        return [pid for pid in self._orphans() if self._belongs(pid, mark, session)]

    async def clear_unmarked(self, alone: Callable[[], bool]) -> bool:
        """Kill what could be anybody's, as long as there is only one attempt it could belong to; returns whether none
        is left."""
        while alone():
            left = [pid for pid in self._orphans() if session_of(pid) and mark_of(pid) is None]
            if not left:
                return True
            kill_trees(left)
            await self._children.death(PATIENCE)
        return False

    def _orphans(self) -> list[int]:
        """Children of ours that we did not start: they come to the first thread, which starts those we do."""
        known = self._children.pids
        return [pid for pid in own_children() if pid not in known]

    @staticmethod
    def _belongs(pid: int, mark: Mark, session: int) -> bool:
        its = session_of(pid)
        return its != 0 and (its == session or mark_of(pid) == mark)
