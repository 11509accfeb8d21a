"""Tar archives of files copied to and from containers: written and unpacked as streams, in a thread."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Callable
from pathlib import Path

from farnode.errors import Permanent

_BLOCK = 65536
_KEPT = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)


class Garbled(Permanent):
    """What came is no archive, or not the one that was asked for."""


class Writer(io.RawIOBase):
    """A file that only `send` sees; once that has failed, nobody does: tarfile writes on when it gives up."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._failed = False

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # tarfile writes bytes
        if not self._failed:
            self._failed = True
            self._send(bytes(data))
            self._failed = False
        return len(data)


class Reader(io.RawIOBase):
    """A file of the chunks that `receive` gives; empty: its end."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = self._receive()
        size = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def drain(self) -> None:
        """Read the padding at the end of an archive: its sender waits for it to be taken."""
        while self._receive():
            pass


def pack(source: Path, name: str, send: Callable[[bytes], None]) -> list[str]:
    """A file or tree as an archive in which it is called `name`; what was left out, in words. Whose the files are is
    not told: at the other side they are their finder's. GNU's format, which the smallest of tars knows too."""
    left_out: list[str] = []

    def chosen(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if entry.type not in _KEPT:
            left_out.append(f"{entry.name}: neither file, directory nor link")
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    try:
        with tarfile.open(mode="w|", fileobj=Writer(send), format=tarfile.GNU_FORMAT, bufsize=_BLOCK) as archive:
            archive.add(source, arcname=name, filter=chosen)
    except OSError as error:
        raise Permanent(f"{error.filename or source}: {error.strerror or error}") from error
    return left_out


def unpack(receive: Callable[[], bytes], *, name: str, target: Path, into: bool) -> list[str]:
    """An archive of one file or tree called `name`; what was left out, in words.

    A file becomes `target`, or where that is a directory or `into` says so goes into it by its own name; a tree's
    content goes into the directory `target` (kubectl cp). Nothing is written outside of it, whatever the archive says,
    nor through a link.
    """
    reader = Reader(receive)
    left_out: list[str] = []
    root: Path | None = None
    single = ""
    into = into or target.is_dir()
    try:
        with tarfile.open(mode="r|", fileobj=reader, bufsize=_BLOCK) as archive:
            for entry in archive:
                if root is None:
                    single = "" if entry.isdir() else (posixpath.basename(name) if into else target.name)
                    root = target if entry.isdir() or into else target.parent
                    root.mkdir(parents=True, exist_ok=True)
                changed = {"name": _below(name, entry.name, single)}
                if entry.islnk():
                    changed["linkname"] = _below(name, entry.linkname, single)
                try:
                    archive.extract(entry.replace(**changed, deep=False), root, filter="data")  # type: ignore[arg-type]
                except tarfile.FilterError as error:
                    left_out.append(f"{entry.name}: {error}")
        reader.drain()
    except (tarfile.TarError, KeyError, ValueError, OverflowError) as error:  # tarfile lets all of them out
        raise Garbled(f"what came is not the archive of {name}: {error}") from error
    except OSError as error:
        raise Permanent(f"{error.filename or target}: {error.strerror or error}") from error
    return left_out


def _below(name: str, path: str, single: str) -> str:
    """An entry's path without the name of what was copied; Garbled when it is not of it."""
    clean = posixpath.normpath(path)
    if name == ".":
        return clean
    if clean == name:
        return single or "."
    if single or not clean.startswith(f"{name}/"):
        raise Garbled(f"the archive is not only of {name}: it has {path}")
    return clean.removeprefix(f"{name}/")
