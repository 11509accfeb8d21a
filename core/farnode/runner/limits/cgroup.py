"""Cgroups, where the node lets an ordinary user have them: the kernel then keeps containers within their limits.

Version 2 alone can be delegated safely (Linux, "Control Group v2", Delegation): a directory that belongs to the account
with the memory controller switched on for what is below it. A user's systemd has one, a batch system may give one to
its jobs. There the runner makes a directory of its own beside its own cgroup, and one in it for each container with a
limit. Everywhere else containers are watched (see `watch`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Callable

from ..processes.leftovers import children_of

CONTROLLERS = ("memory", "pids")
SWITCH_ON = "+memory +pids"
KILLED = "oom_kill "


class Group:
    """One container's. Its processes are put into it as they start, and what they start is in it."""

    def __init__(self, path: str, memory: int | None, processes: int | None) -> None:
        os.mkdir(path, 0o700)
        self.path = path
        try:
            self._limit(memory, processes)
        except OSError:
            self.remove()
            raise

    def _limit(self, memory: int | None, processes: int | None) -> None:
        self._writes("memory.max", memory)
        if memory is not None:
            _write(f"{self.path}/memory.oom.group", "1")
            with contextlib.suppress(OSError):  # a node without swap
                _write(f"{self.path}/memory.swap.max", "0")
        self._writes("pids.max", processes)

    @property
    def killed(self) -> bool:
        """Whether it was ended because it had no memory left."""
        return bool(counted(f"{self.path}/memory.events"))

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def _writes(self, name: str, limit: int | None) -> None:
        if limit is not None:
            _write(f"{self.path}/{name}", str(limit))


class Delegation:
    """The runner's own directory of cgroups."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._made = 0

    @classmethod
    def find(cls, nonce: str, own: str | None = None) -> Delegation | None:
        """The nearest place, from our own cgroup upwards, where one can be made; None where none can."""
        for directory in _writable(own_v2() if own is None else own):
            path = f"{directory}/farnode-{nonce}"
            try:
                os.mkdir(path, 0o700)
            except OSError:
                continue
            try:
                if not _has(f"{path}/cgroup.controllers"):
                    _write(f"{directory}/cgroup.subtree_control", SWITCH_ON)
                _write(f"{path}/cgroup.subtree_control", SWITCH_ON)
            except OSError:
                os.rmdir(path)
                continue
            return cls(path)
        return None

    def group(self, memory: int | None, processes: int | None) -> Group:
        """A new one; OSError when the kernel refuses it."""
        self._made += 1
        return Group(f"{self.path}/{self._made}", memory, processes)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def join(path: str, pid: int) -> None:
    """Put a process that was just started into a group, and what it may have started before it was in; no error where
    it is gone already."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            _write(f"{path}/cgroup.procs", str(one))
        found += children_of(one)


def own_v2() -> str:
    """The directory of our own cgroup of version 2, "" where there is none."""
    return _own("", lambda kind, _: kind == "cgroup2")


def own_memory() -> str:
    """That of the cgroup our memory is charged to, of whichever version."""
    return _own("memory", lambda kind, options: kind == "cgroup" and "memory" in options) or own_v2()


def kills_file() -> str:
    """Where it stands how many processes the kernel has ended for want of memory: in our cgroup, or where that is not
    counted, on the node."""
    group = own_memory()
    places = (f"{group}/memory.events", f"{group}/memory.oom_control")
    return next((path for path in places if counted(path) is not None), "/proc/vmstat")


def counted(path: str) -> int | None:
    """The line `oom_kill N`; None where the file does not have it."""
    try:
        with open(path, encoding="ascii") as file:
            found = [line for line in file if line.startswith(KILLED)]
    except OSError:
        return None
    return int(found[0].split()[1]) if found else None


def _own(controller: str, is_mount: Callable[[str, Sequence[str]], bool]) -> str:
    """Our cgroup in the hierarchy of a controller ("" is version 2), where that is mounted; "" where it is not."""
    inside = ""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            inside = path
    for line in _lines("/proc/self/mountinfo"):
        place, _, what = line.partition(" - ")
        _, _, _, root, mounted = place.split()[:5]
        kind, _, options = what.split()[:3]
        if inside and is_mount(kind, options.split(",")) and _is_below(inside, root):
            return mounted + inside[len(root.rstrip("/")) :].rstrip("/")
    return ""


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def _writable(directory: str) -> Iterator[str]:
    while directory and all(os.access(path, os.W_OK) for path in (directory, f"{directory}/cgroup.procs")):
        yield directory
        directory = directory.rpartition("/")[0]


def _has(path: str) -> bool:
    with open(path, encoding="ascii") as file:
        return set(CONTROLLERS) <= set(file.read().split())


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
