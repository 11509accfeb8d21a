"""A log in several files: `<name>` is written to, those before it are `<name>.<n>`, the oldest with the lowest number.

No entry is split between files, and all that are kept are one log, the oldest first.
"""

from __future__ import annotations

import io
import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO


def rotated(name: str, number: int) -> str:
    return f"{name}.{number}"


def kept(name: str, names: Iterable[str]) -> list[str]:
    """Those of the files' names that belong to the log `name`, oldest first."""
    pattern = re.compile(re.escape(name) + r"(?:\.([0-9]+))?")
    matches = [match for match in map(pattern.fullmatch, names) if match]
    numbers = sorted(int(match[1]) for match in matches if match[1])
    current = [name] if any(not match[1] for match in matches) else []
    return [rotated(name, number) for number in numbers] + current


def open_log(path: str) -> BinaryIO:
    """All that is kept of the log at `path`, as one file; raises OSError."""
    directory, name = os.path.split(path)
    names = kept(name, os.listdir(directory))
    return open_files([os.path.join(directory, one) for one in names or [name]])


def open_files(paths: Sequence[str]) -> BinaryIO:
    """The files one after the other, each as long as it is now; raises OSError."""
    return io.BufferedReader(_Joined(paths))


class _Joined(io.RawIOBase):
    def __init__(self, paths: Sequence[str]) -> None:
        self._descriptors: list[int] = []
        self._begins = [0]
        self._position = 0
        try:
            for path in paths:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._descriptors.append(descriptor)
                self._begins.append(self._begins[-1] + os.fstat(descriptor).st_size)
        except OSError:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._begins[-1]}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        index = bisect_right(self._begins, self._position) - 1
        if index == len(self._descriptors):
            return 0
        size = min(len(buffer), self._begins[index + 1] - self._position)
        taken = os.preadv(self._descriptors[index], [memoryview(buffer)[:size]], self._position - self._begins[index])
        self._position += taken
        return taken

    def close(self) -> None:
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)
        super().close()
