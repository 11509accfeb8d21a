"""A log on disk, in as many files and of as many bytes as the site allows; their names are of `wire.rotation`."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import NamedTuple

from ...wire.messages import Limits
from ...wire.rotation import rotated


class _File(NamedTuple):
    path: str
    begin: int


class RotatingLog:
    """Places in it are counted in bytes from the first one ever written, whether that is still kept or not.

    Only `append` makes it longer, and the first one makes the file. `size` is the place after the last byte. An entry
    that is longer than a file may be gets a file of its own.
    """

    def __init__(self, path: str, limits: Limits) -> None:
        self.path = path
        self.size = 0
        self._largest = limits.get("log_size")
        self._files = limits.get("log_files")
        self._older: deque[_File] = deque()
        self._current = _File(path, 0)
        self._rotations = 0
        self._torn = False
        self._descriptor = -1

    @property
    def begin(self) -> int:
        """The place of the first byte that is kept."""
        return self._kept[0].begin

    def paths(self) -> list[str]:
        """Of all that is kept, oldest first; none where nothing was ever written."""
        return [file.path for file in self._kept] if self._descriptor >= 0 else []

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name."""
        kept = self._kept
        ends = [*(file.begin for file in kept[1:]), self.size]
        return {os.path.basename(file.path): end - file.begin for file, end in zip(kept, ends)}

    def append(self, entries: bytes) -> None:
        """Whole entries; raises OSError where not all of them could be written."""
        if entries and self._descriptor < 0:
            self._descriptor = self._create()
        start = 0
        while start < len(entries):
            end = self._fitting(entries, start)
            if end > start:
                self._write(entries[start:end])
                start = end
            else:
                self._rotate()

    def read(self, place: int, size: int) -> tuple[int, bytes]:
        """Bytes at `place`, at most `size`, and where they are: further on, where the first ones are kept no more.

        Raises OSError. No file stays open: it would keep what is deleted on the disk.
        """
        end = self.size
        place = max(place, self.begin)
        for file in reversed(self._kept):
            if place >= file.begin:
                break
            end = file.begin
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return place, os.pread(descriptor, min(size, end - place), place - file.begin)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    def remove(self) -> None:
        for path in self.paths():
            _unlink(path)

    @property
    def _kept(self) -> list[_File]:
        return [*self._older, self._current]

    def _create(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
            return os.open(self.path, flags, 0o600)

    def _fitting(self, entries: bytes, start: int) -> int:
        """Where those entries end that the current file still takes."""
        used = self.size - self._current.begin
        if self._largest is None or len(entries) - start <= self._largest - used:
            return len(entries)
        end = entries.rfind(b"\n", start, start + max(0, self._largest - used)) + 1
        if end == 0 and used == 0:
            return entries.index(b"\n", start) + 1
        return end or start

    def _write(self, entries: bytes) -> None:
        """After a failure, what was written of an entry is made a line of its own."""
        rest = memoryview(b"\n" + entries if self._torn else entries)
        self._torn = True
        while rest:
            written = os.write(self._descriptor, rest)
            self.size += written
            rest = rest[written:]
        self._torn = False

    def _rotate(self) -> None:
        if self._torn:
            self._write(b"")
        older = _File(rotated(self.path, self._rotations + 1), self._current.begin)
        os.rename(self.path, older.path)
        try:
            fresh = self._create()
        except OSError:
            os.rename(older.path, self.path)
            raise
        self.close()
        self._rotations += 1
        self._older.append(older)
        self._current, self._descriptor = _File(self.path, self.size), fresh
        while self._files is not None and len(self._older) >= max(1, self._files):
            _unlink(self._older.popleft().path)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
