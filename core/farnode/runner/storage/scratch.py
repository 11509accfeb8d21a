"""Private directories on the node: what a container may scribble on, gone when its attempt has ended.

They lie on the node's own disk, those of memory medium in /dev/shm where it can be written. Every one has mode 0700.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from . import threads
from .removal import remove

MEMORY = "/dev/shm"  # noqa: S108 the node's memory file system, in a private directory below it
AS_MADE = (stat.S_IFMT(0o777777) | 0o777, stat.S_IFDIR | 0o700)
"""Bits of a mode, and what they are for a private directory."""
KEPT = 1024
"""Empty directories that are kept for the next attempts."""


class ContainerDirectories(NamedTuple):
    """`run` is the runtime's own, to be made by it where it needs one, and `termination_log` a file in it, to be made
    by a runtime that shows it; the others appear in the container."""

    run: str
    home: str
    tmp: str
    termination_log: str


def safe(name: str) -> str:
    """The name, once it is sure that it names one entry of a directory; ValueError otherwise."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError(f"{name!r} cannot name a directory")
    return name


class Pool:
    """Empty directories of mode 0700 in one place, lent to attempts. One that comes back as it was is lent again: to
    make and to remove directories is what costs most of a no-op pod on some disks."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._free: list[str] = []
        self._serial = itertools.count()

    def lend(self) -> str:
        if self._free:
            return self._free.pop()
        path = f"{self._root}/{next(self._serial)}"
        os.mkdir(path, 0o700)
        return path

    def take_back(self, path: str) -> bool:
        """Whether it can be lent again: it is the borrower's to remove otherwise."""
        try:
            fit = os.lstat(path).st_mode & AS_MADE[0] == AS_MADE[1] and not os.listdir(path)
        except OSError:
            return False
        if fit and len(self._free) < KEPT:
            self._free.append(path)
            return True
        return False


class Scratch:
    """The runner's own corner of the node, with the allocation's nonce in its name: what a killed runner leaves can
    be told from what lives."""

    def __init__(self, environment: Mapping[str, str], nonce: str) -> None:
        parent = next(
            (environment[name] for name in ("FARNODE_SCRATCH", "SLURM_TMPDIR", "TMPDIR") if environment.get(name)),
            "/tmp",  # noqa: S108 mkdtemp makes a private directory in it
        )
        self.disk = tempfile.mkdtemp(prefix=f"farnode-{nonce}-", dir=os.path.abspath(parent))
        self.memory = (
            tempfile.mkdtemp(prefix=f"farnode-{nonce}-", dir=MEMORY) if os.access(MEMORY, os.W_OK) else self.disk
        )
        self.on_disk = Pool(self.disk)
        self.in_memory = Pool(self.memory) if self.memory != self.disk else self.on_disk

    def remove(self) -> None:
        remove(self.disk)
        remove(self.memory)


class AttemptDirectories:
    """Of one attempt. They lie side by side, none in another."""

    def __init__(self, scratch: Scratch, uid: str, attempt: int) -> None:
        name = f"{safe(uid)}.{attempt}"
        self.users: set[object] = set()
        """Runs of containers that may have left a process that knows of them."""
        self._scratch = scratch
        self._disk = f"{scratch.disk}/{name}"
        self._memory = f"{scratch.memory}/{name}"
        self._lent: dict[str, Pool] = {}
        self._made: dict[str, None] = {}
        self._left: list[str] = []
        self._of_container: dict[str, ContainerDirectories] = {}
        self._discarded: dict[str, asyncio.Future[None]] = {}
        self._serial = itertools.count()
        self.shm = self._borrow(scratch.in_memory)

    def container(self, name: str) -> ContainerDirectories:
        """Others on each call: a restarted container begins anew, and does not wait for what it left to be removed."""
        before = self._of_container.get(name)
        if before is not None:
            for path in (before.run, before.home, before.tmp):
                self._discard(path)
        run = f"{self._disk}.{safe(name)}.{next(self._serial)}.run"
        self._made[run] = None
        home, tmp = self._borrow(self._scratch.on_disk), self._borrow(self._scratch.on_disk)
        self._of_container[name] = made = ContainerDirectories(run, home, tmp, f"{run}/termination-log")
        return made

    def volume(self, name: str, in_memory: bool = False) -> str:
        return self._make(f"{self._memory if in_memory else self._disk}.volume-{safe(name)}")

    def file(self, name: str) -> str:
        """An empty file of the attempt's."""
        path = touch(f"{self._memory}.file-{safe(name)}")
        self._made[path] = None
        return path

    def processes(self) -> str:
        """Where containers find each other that share their processes."""
        path = f"{self._memory}.processes"
        return path if path in self._made else self._make(path)

    def give_back(self) -> bool:
        """Whether all of them are gone, or may go to another attempt; `remove` is for the rest."""
        kept = [path for path, pool in self._lent.items() if not self.users and pool.take_back(path)]
        for path in kept:
            del self._lent[path]
        self._left = [path for path in (*self._lent, *self._made) if not _remove_if_empty(path)]
        return not self._left and not self._discarded

    async def remove(self) -> None:
        """In a thread: it may be much."""
        if self._discarded:
            await asyncio.wait(self._discarded.values())
        for path in self._left:
            await threads.run(threads.REMOVAL, remove, path)

    def _discard(self, path: str) -> None:
        """Gone soon: a container that starts again does not wait for it."""
        self._lent.pop(path, None)
        self._made.pop(path, None)
        if _remove_if_empty(path):
            return
        removal = threads.run(threads.REMOVAL, remove, path)
        self._discarded[path] = removal
        removal.add_done_callback(lambda _: self._discarded.pop(path))

    def _borrow(self, pool: Pool) -> str:
        path = pool.lend()
        self._lent[path] = pool
        return path

    def _make(self, path: str) -> str:
        os.mkdir(path, 0o700)
        self._made[path] = None
        return path


def _remove_if_empty(path: str) -> bool:
    """False for a directory with something in it; files are removed whatever they hold."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        os.unlink(path)
    except OSError:
        return False
    return True


def touch(path: str) -> str:
    """Make an empty file of mode 0600."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    return path


def make_missing(directory: Path, mode: int) -> None:
    """Make it, and those above it, where they are missing; the mode is exact, whatever the runner's umask. Others may
    make them at the same time."""
    for one in reversed([directory, *directory.parents]):
        if not one.exists():
            with contextlib.suppress(FileExistsError):
                one.mkdir(0o700)
                one.chmod(mode)


def below(root: str, path: str) -> Path:
    """`path` below `root`; ValueError when it would lead elsewhere."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of its volume")
    return Path(root) / path
