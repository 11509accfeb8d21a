"""The directory of converted images, on the spool.

    <hex>.sif | <hex>/        an image in one form or the other, complete when it has this name
    <hex>.sif.json | <hex>.json   its size and configuration; its time is that of the last use
    names/<hash>.json         what a name stood for when it was last asked for
    .<hex>.<pid>.<n>          being made, or being removed
    .<hex>.lock               held by who makes it

Nothing here is synchronised by memory: gateways sharing the spool see the same files. Blocking: call it in a thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from farnode.gateway.images import tree
from farnode.gateway.images.convert import Form

_RECENT = 3600.0
"""Seconds after its last use for which an image stays, whatever the quota: its pod may not be known as running yet."""
_SUFFIXES: dict[Form, str] = {"sif": ".sif", "directory": ""}
_serial = count()


@dataclass(frozen=True, slots=True)
class Entry:
    """A converted image. `used` is seconds since the epoch, `size` its bytes here."""

    digest: str
    path: Path
    size: int
    used: float
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What a name stood for: the digest `top` in the registry, that of the manifest for the site's platform, and the
    bytes the registry has of it.

    `open`: it was had without a pod's own login, so that every pod may have it.
    """

    top: str
    digest: str
    size: int
    open: bool


class Shelf:
    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self._clock = clock
        self._names = root / "names"
        self._names.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, digest: str, form: Form) -> Entry | None:
        """The image if it is complete; marks it as used. A file that was cut short since is none."""
        path = self._path(digest, form)
        entry = _read(path)
        if entry is None or not path.exists() or (form == "sif" and path.stat().st_size != entry.size):
            return None
        os.utime(_record(path), (self._clock(), self._clock()))
        return entry

    def put(self, digest: str, form: Form, made: Path, config: Mapping[str, Any]) -> Entry:
        """Take what was made in a `temporary` directory; OSError when there is nothing, or no room."""
        path = self._path(digest, form)
        entry = Entry(digest, path, tree.size(made), self._clock(), config)
        # first the record: an image without one would be counted and collected by nobody
        self._write(_record(path), {"digest": digest, "size": entry.size, "config": dict(config)})
        self._discard(path)
        made.rename(path)
        return entry

    def known(self, name: str) -> Known | None:
        content = _content(self._name(name))
        return Known(*(content[key] for key in ("top", "digest", "size", "open"))) if content else None

    def remember(self, name: str, known: Known) -> None:
        self._write(self._name(name), {"name": name, **asdict(known)})

    def temporary(self, digest: str) -> Path:
        """A directory to make it in, which its maker removes."""
        path = self.root / f".{_hex(digest)}.{os.getpid()}.{next(_serial)}"
        path.mkdir(mode=0o700)
        return path

    def lock(self, digest: str) -> Path:
        return self.root / f".{_hex(digest)}.lock"

    def entries(self) -> list[Entry]:
        """All images, the least recently used first."""
        found = filter(None, (_read(record.with_suffix("")) for record in self.root.glob("*.json")))
        return sorted(found, key=lambda entry: entry.used)

    def used(self) -> int:
        """Bytes of all images."""
        return sum(entry.size for entry in self.entries())

    def collect(self, limit: int, in_use: Collection[str]) -> int:
        """Remove the least recently used images until the rest fits into `limit` bytes, but none whose path is
        `in_use` or that was used just now; the bytes that are left."""
        entries = self.entries()
        left = sum(entry.size for entry in entries)
        for entry in entries:
            if left > limit and str(entry.path) not in in_use and self._clock() - entry.used > _RECENT:
                _record(entry.path).unlink(missing_ok=True)
                self._discard(entry.path)
                left -= entry.size
        return left

    def sweep(self, age: float) -> None:
        """Remove what was left half made, or half removed, more than `age` seconds ago, and names of no image here."""
        for path in self.root.glob(".*.*.*"):
            with suppress(FileNotFoundError):  # its maker has just finished
                if self._clock() - path.stat().st_mtime > age:
                    tree.remove(path)
        kept = {entry.digest for entry in self.entries()}
        for path in self._names.iterdir():
            with suppress(FileNotFoundError):  # another gateway was faster
                if self._clock() - path.stat().st_mtime > age and (_content(path) or {}).get("digest") not in kept:
                    path.unlink()

    def _discard(self, path: Path) -> None:
        if path.exists():
            grave = self.root / f".{path.stem}.{os.getpid()}.{next(_serial)}"
            path.rename(grave)  # at once out of sight; removing a directory takes a while
            tree.remove(grave)

    def _path(self, digest: str, form: Form) -> Path:
        return self.root / f"{_hex(digest)}{_SUFFIXES[form]}"

    def _name(self, name: str) -> Path:
        return self._names / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def _write(self, path: Path, content: object) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_serial)}")
        temporary.write_text(json.dumps(content))
        os.utime(temporary, (self._clock(), self._clock()))
        temporary.replace(path)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read(path: Path) -> Entry | None:
    content = _content(_record(path))
    if content is None:
        return None
    return Entry(content["digest"], path, content["size"], content["used"], content["config"])


def _content(record: Path) -> dict[str, Any] | None:
    """None where there is none, or where a power cut left half of one: the image is then made again."""
    try:
        content: dict[str, Any] = {**json.loads(record.read_bytes()), "used": record.stat().st_mtime}
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return content


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
