"""A program: unpacks an image's layers, one over the other, into a plain directory.

    unpack.py TARGET LIMIT LAYER...

It runs on its own, so that gigabytes of work delay nobody and can be killed. Nothing in a layer can be believed: no
name leads out of TARGET, links in the image included, and LIMIT bytes are never exceeded. All of it belongs to this
account and can be read and removed by it; devices and set-uid bits, of which an ordinary user's containers have no use,
are left out. https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_LINKS = 255
_CHUNK = 1024 * 1024
_ENTRY = 512
"""Bytes that a file costs beside its content: an archive of nothing but names is bounded, too."""
_MEMORY = 2 * 1024**3
"""Bytes of this process; the names of a million files fit, a forged header of gigabytes does not."""
Name = tuple[str, ...]
"""The parts of a path in the image, without `.` and `..`; none: its root."""


class Refused(Exception):
    """A layer that cannot be unpacked."""


class Tree:
    """What has been unpacked so far."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root.resolve()
        self._left = limit
        self._fresh: set[Path] = set()
        """What the current layer has put here, and the directories above that: its own opaque marks spare it."""
        self._times: dict[Path, float] = {}
        self._last: tuple[Name, Path] = ((), self._root)
        """The directory of the last file, which is mostly that of the next one."""

    def add(self, archive: tarfile.TarFile) -> None:
        """One layer."""
        self._fresh.clear()
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else it keeps the headers of all
            if member.size < 0:
                raise Refused(f"{member.name!r} has a size below zero")
            self._left -= member.size + _ENTRY
            if self._left < 0:
                raise Refused("its files are larger than the room that images have at this site (images.maxBytes)")
            if name := _name(member.name):
                self._add(archive, member, self._directory(name[:-1]), name[-1])
        for path, time in self._times.items():
            os.utime(path, (time, time))
        self._times.clear()

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path, name: str) -> None:
        if name == _OPAQUE:
            self._clear(directory)
        elif name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            if not hidden.startswith(_WHITEOUT) and hidden not in ("", ".", ".."):  # else a union's notes to itself
                self._remove(directory / hidden)
        elif member.isfifo() or not member.isdev():
            self._freshen(directory / name)
            self._make(archive, member, directory / name)

    def _make(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        if member.isdir():
            self._make_directory(member, path)
        elif member.islnk():
            self._link(_name(member.linkname), path)
        else:
            self._remove(path)
            if member.issym():
                path.symlink_to(member.linkname)
            elif member.isfifo():
                os.mkfifo(path, member.mode & 0o777 | 0o400)
            else:
                _write(archive, member, path)

    def _make_directory(self, member: tarfile.TarInfo, path: Path) -> None:
        if path.is_symlink() or not path.is_dir():
            self._remove(path)
            path.mkdir()
        path.chmod(member.mode & 0o1777 | 0o700)
        self._times[path] = member.mtime

    def _link(self, name: Name, path: Path) -> None:
        source = self._directory(name[:-1]).joinpath(*name[-1:])
        if source != path:
            self._remove(path)
            os.link(source, path, follow_symlinks=False)

    def _directory(self, name: Name) -> Path:
        """Where a directory of the image is, links followed as the image sees them; made where it is missing."""
        if self._last[0] != name:
            self._last = (name, self._walk(name))
        return self._last[1]

    def _walk(self, name: Name) -> Path:
        path, waiting, links = self._root, list(reversed(name)), 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                path = path if path == self._root else path.parent
            elif part not in ("", "."):
                below = path / part
                if not below.is_symlink():
                    path = self._entered(below)
                    continue
                links += 1
                if links > _MOST_LINKS:
                    raise Refused(f"{'/'.join(name)!r} leads through too many links")
                target = os.readlink(below)  # noqa: PTH115 - a Path would lose the `/` and `.` at its end
                path = self._root if target.startswith("/") else path
                waiting += reversed(target.split("/"))
        return path

    def _entered(self, path: Path) -> Path:
        if not path.is_dir():
            self._remove(path)
            path.mkdir()
        return path

    def _freshen(self, path: Path) -> None:
        """With all above it, which is then not for an opaque mark to remove whole."""
        while path != self._root and path not in self._fresh:
            self._fresh.add(path)
            path = path.parent

    def _clear(self, directory: Path) -> None:
        """Remove what earlier layers have put there."""
        for path in list(directory.iterdir()):
            if path not in self._fresh:
                self._remove(path)
            elif path.is_dir() and not path.is_symlink():
                self._clear(path)

    def _remove(self, path: Path) -> None:
        if not os.path.lexists(path):
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            self._times = {one: time for one, time in self._times.items() if not one.is_relative_to(path)}
        else:
            path.unlink()
        self._last = ((), self._root)


def _name(text: str) -> Name:
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in text:
        raise Refused(f"{text!r} leads out of the image")
    return parts


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = archive.extractfile(member)
    if source is None:
        raise Refused(f"{member.name!r} is of an unknown type")
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
    path.chmod(member.mode & 0o777 | 0o400)
    os.utime(path, (member.mtime, member.mtime))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The archive of a layer, decompressed as its first bytes say."""
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic.startswith(_GZIP):
            with gzip.open(file) as unzipped:
                yield cast("IO[bytes]", unzipped)
        elif magic == _ZSTD:
            with _unzstd(path) as unzipped:
                yield unzipped
        else:
            yield file


@contextmanager
def _unzstd(path: Path) -> Iterator[IO[bytes]]:
    if shutil.which("zstd") is None:
        raise Refused("a layer is compressed with zstd, and this host has no program zstd")
    argv = ["zstd", "-dcq", "--", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield process.stdout
        while process.stdout.read(_CHUNK):
            pass
    if process.returncode:
        raise Refused("a layer is damaged: zstd cannot read it")


def unpack(layers: Sequence[Path], target: Path, limit: int) -> None:
    """Refused or OSError with words; what is there by then stays for the caller to remove."""
    target.mkdir()
    tree = Tree(target, limit)
    for layer in layers:
        try:
            with _opened(layer) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
                tree.add(archive)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Refused(f"a layer is damaged: {error}") from error


def main() -> None:
    target, limit, *layers = sys.argv[1:]
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        unpack([Path(layer) for layer in layers], Path(target), int(limit))
    except (Refused, OSError) as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit(f"a layer wants more than {_MEMORY} bytes of memory")


if __name__ == "__main__":
    main()
