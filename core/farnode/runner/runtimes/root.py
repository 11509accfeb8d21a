"""A root directory in which volumes appear at any path, as an ordinary user in a mount namespace.

The node's directories are not ours to make mount points in. Where a target lies below one and does not exist, that
directory is *mirrored*: a small tmpfs is mounted over it and every entry of it is bound back, so the missing one can be
made beside them. What a program then writes directly into a mirrored directory stays in memory and ends with it.

Targets are resolved one component at a time as the container would see them, so a symbolic link in an image or a volume
leads nowhere but into the container.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

from . import namespaces

LINKS = 40
"""As many as the kernel follows."""
MIRRORED = 5000
"""Entries of a directory that are bound back at most: each is a mount."""
FORBIDDEN = ("/proc", "/sys")


class Root:
    """A root directory under construction at `path` ("" is the real one).

    `owned` says of directories, resolved and as seen inside, whether mount points may be made in them; what is below
    one is like it.
    """

    def __init__(self, path: str, owned: bool) -> None:
        self.path = path
        self._owned = {"/": owned}

    @classmethod
    def of_the_node(cls, path: str) -> Root:
        """The node's own root directory, mirrored at the empty directory `path`."""
        path = os.path.realpath(path)
        root = cls(path, True)
        namespaces.mount("farnode", path, namespaces.MS_NOSUID | namespaces.MS_NODEV, "tmpfs", "mode=755")
        root._bind_entries("/", "")
        with contextlib.suppress(OSError):
            namespaces.detach(path + path)  # the new root, seen through itself
        return root

    def place(self, source: str, target: str, read_only: bool) -> str:
        """Let `source`, a directory or a file, appear at `target`, and say which place that is without symbolic links;
        OSError or ValueError with words when it cannot."""
        where = self.resolve(target)
        if where == "/" or any(where == name or where.startswith(name + "/") for name in FORBIDDEN):
            raise ValueError(f"nothing can be mounted at {target}")
        is_directory = os.path.isdir(source)
        self._make(where, is_directory)
        namespaces.bind(source, self.path + where, read_only)
        if is_directory:
            self._owned[where] = not read_only
        return where

    def resolve(self, path: str) -> str:
        """The path without symbolic links, as far as it exists."""
        done, left, links = "", [part for part in reversed(path.split("/")) if part not in ("", ".")], 0
        while left:
            part = left.pop()
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            try:
                link = os.readlink(f"{self.path}{done}/{part}")
            except OSError:
                done += "/" + part
                continue
            links += 1
            if links > LINKS:
                raise OSError(f"{path}: too many symbolic links")
            if link.startswith("/"):
                done = ""
            left += [part for part in reversed(link.split("/")) if part not in ("", ".")]
        return done or "/"

    def directory(self, path: str) -> None:
        """Make a directory, and those above it, where it is missing."""
        where = self.resolve(path)
        if not os.path.isdir(self.path + where):
            self._make(where, True)

    def _make(self, where: str, is_directory: bool) -> None:
        """Make the mount point, unless it is there."""
        there = self.path + where
        if os.path.lexists(there):
            if os.path.isdir(there) != is_directory:
                kinds = ("a directory", "a file") if is_directory else ("a file", "a directory")
                raise ValueError(f"{where}: the volume is {kinds[0]} but {kinds[1]} is there")
            return
        parent = where.rpartition("/")[0] or "/"
        base = parent
        while not os.path.isdir(self.path + base):
            if os.path.lexists(self.path + base):
                raise ValueError(f"{where}: {base} is not a directory")
            base = base.rpartition("/")[0] or "/"
        if not (self._is_owned(base) and os.access(self.path + base, os.W_OK)):
            self._mirror(base)
        os.makedirs(self.path + parent, mode=0o755, exist_ok=True)
        if is_directory:
            os.mkdir(there, 0o755)
        else:
            touch(there)

    def _is_owned(self, where: str) -> bool:
        while where not in self._owned:
            where = where.rpartition("/")[0] or "/"
        return self._owned[where]

    def _mirror(self, where: str) -> None:
        if where == "/":
            raise ValueError("the root directory of this image cannot be written to, so no volume can be mounted")
        original = os.open(self.path + where, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mode = stat.S_IMODE(os.fstat(original).st_mode)
            flags = namespaces.MS_NOSUID | namespaces.MS_NODEV
            namespaces.mount("farnode", self.path + where, flags, "tmpfs", f"mode={mode | 0o700:o}")
            self._owned[where] = True
            self._bind_entries(f"/proc/self/fd/{original}", where)
        finally:
            os.close(original)

    def _bind_entries(self, source: str, where: str) -> None:
        """Let every entry of the directory `source` appear in ours, which is empty."""
        with os.scandir(source) as scan:
            entries = list(scan)
        if len(entries) > MIRRORED:
            raise ValueError(f"{where}: nothing can be mounted in a directory of {len(entries)} entries")
        for entry in entries:
            there = f"{self.path}{where}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), there)
                continue
            if entry.is_dir(follow_symlinks=False):
                os.mkdir(there)
                self._owned[f"{where}/{entry.name}"] = False
            else:
                touch(there)
            namespaces.bind(entry.path, there)


def touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def in_order(mounts: Iterable[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
    """Plain tuples, in an order in which what lies in another comes after it; otherwise as they came."""
    plain = [(source, target, read_only) for source, target, read_only in mounts]
    return sorted(plain, key=lambda mount: mount[1].rstrip("/").count("/"))
