"""The directory of converted images, on the spool.

    <hex>.sif | <hex>/        an image, complete when it has this name
    <hex>.json                its size and configuration; its time is that of the last use
    names/<hash>.json         the digest a name had when it was last asked for
    .<hex>.<pid>.<n>          being made, or being removed
    .<hex>.lock               held by who makes it

Nothing here is synchronised by memory: gateways sharing the spool see the same files. Blocking: call it in a thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

_RECENT = 3600.0
"""Seconds after its last use for which an image stays, whatever the quota: its pod may not be known as running yet."""
_serial = count()


@dataclass(frozen=True, slots=True)
class Entry:
    """A converted image. `used` is seconds since the epoch, `size` bytes."""

    digest: str
    path: Path
    size: int
    used: float
    config: Mapping[str, Any]


class Shelf:
    """`suffix` is ".sif", or "" for directories."""

    def __init__(self, root: Path, suffix: str, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self._suffix = suffix
        self._clock = clock
        self._names = root / "names"
        self._names.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, digest: str) -> Entry | None:
        """The image if it is complete; marks it as used."""
        entry = self._read(self._record(digest))
        if entry is None or not entry.path.exists():
            return None
        os.utime(self._record(digest), (self._clock(), self._clock()))
        return entry

    def put(self, digest: str, made: Path, config: Mapping[str, Any]) -> Entry:
        """Take what was made at a `temporary` path; OSError when there is nothing, or no room."""
        path = self._path(digest)
        entry = Entry(digest, path, _size(made), self._clock(), config)
        # first the record: an image without one would be counted and collected by nobody
        self._write(self._record(digest), {"digest": digest, "size": entry.size, "config": dict(config)})
        self._discard(path)
        made.rename(path)
        return entry

    def named(self, name: str) -> str | None:
        """The digest that belongs to a name as far as known here."""
        content = _content(self._name(name))
        return str(content["digest"]) if content else None

    def remember(self, name: str, digest: str) -> None:
        self._write(self._name(name), {"name": name, "digest": digest})

    def temporary(self, digest: str) -> Path:
        return self.root / f".{_hex(digest)}.{os.getpid()}.{next(_serial)}{self._suffix}"

    def lock(self, digest: str) -> Path:
        return self.root / f".{_hex(digest)}.lock"

    def entries(self) -> list[Entry]:
        """All images, the least recently used first."""
        found = filter(None, map(self._read, self.root.glob("*.json")))
        return sorted(found, key=lambda entry: entry.used)

    def collect(self, limit: int, in_use: Collection[str]) -> int:
        """Remove the least recently used images until the rest fits into `limit` bytes, but none whose path is
        `in_use` or that was used just now; the bytes that are left."""
        entries = self.entries()
        left = sum(entry.size for entry in entries)
        for entry in entries:
            if left > limit and str(entry.path) not in in_use and self._clock() - entry.used > _RECENT:
                self._record(entry.digest).unlink(missing_ok=True)
                self._discard(entry.path)
                left -= entry.size
        return left

    def sweep(self, age: float) -> None:
        """Remove what was left half made, or half removed, more than `age` seconds ago."""
        for path in self.root.glob(".*.*.*"):
            with suppress(FileNotFoundError):  # its maker has just finished
                if self._clock() - path.stat().st_mtime > age:
                    self.remove(path)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _discard(self, path: Path) -> None:
        if path.exists():
            grave = self.root / f".{path.stem}.{os.getpid()}.{next(_serial)}"
            path.rename(grave)  # at once out of sight; removing a directory takes a while
            self.remove(grave)

    def _path(self, digest: str) -> Path:
        return self.root / f"{_hex(digest)}{self._suffix}"

    def _record(self, digest: str) -> Path:
        return self.root / f"{_hex(digest)}.json"

    def _name(self, name: str) -> Path:
        return self._names / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def _read(self, record: Path) -> Entry | None:
        content = _content(record)
        if content is None:
            return None
        digest = content["digest"]
        return Entry(digest, self._path(digest), content["size"], content["used"], content["config"])

    def _write(self, path: Path, content: object) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_serial)}")
        temporary.write_text(json.dumps(content))
        os.utime(temporary, (self._clock(), self._clock()))
        temporary.replace(path)


def _content(record: Path) -> dict[str, Any] | None:
    """None where there is none, or where a power cut left half of one: the image is then made again."""
    try:
        content: dict[str, Any] = {**json.loads(record.read_bytes()), "used": record.stat().st_mtime}
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return content


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _size(path: Path) -> int:
    return path.lstat().st_size + sum(file.lstat().st_size for file in path.rglob("*"))
