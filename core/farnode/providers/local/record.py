"""What is known of one allocation. Its file is complete and on disk before the allocation's process may begin."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from farnode.model.allocation import Cause

KEEP = 7 * 86400.0
"""Seconds an ended allocation stays known; the gateway has asked for it long before."""


@dataclass(slots=True)
class Record:
    """Times are seconds since the epoch. `start` is the process's start in clock ticks since the boot `boot`: with the
    pid it tells a process from a later one of the same number. `stopping`: why and since when it is being ended."""

    nonce: str
    directory: str
    environment: dict[str, str]
    cores: int
    memory: int
    gpus: int
    due: float
    walltime: int | None
    warning: int
    devices: list[int] = field(default_factory=list)
    pid: int | None = None
    start: int | None = None
    boot: str = ""
    began: float | None = None
    warned: bool = False
    stopping: str | None = None
    stopped_at: float = 0.0
    ended: str | None = None
    ended_at: float = 0.0
    words: str = ""

    @property
    def running(self) -> bool:
        return self.pid is not None and self.ended is None

    def stop(self, cause: Cause, now: float) -> None:
        self.stopping, self.stopped_at = self.stopping or cause.value, now

    def end(self, cause: Cause, now: float, words: str) -> None:
        self.ended, self.ended_at, self.words = cause.value, now, words


class Shelf:
    """The records' directory, private to this user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> Iterator[Record]:
        """All of them; keys of a newer version are left out."""
        known = {entry.name for entry in fields(Record)}
        for path in sorted(self._directory.glob("*.json")):
            values = json.loads(path.read_text())
            yield Record(**{name: value for name, value in values.items() if name in known})

    def save(self, record: Record) -> None:
        """Durable when this returns: a crash leaves the old file or the new one."""
        path = self._path(record.nonce)
        new = path.with_suffix(".new")
        with open(new, "w", opener=_private) as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def forget(self, nonce: str) -> None:
        self._path(nonce).unlink(missing_ok=True)

    def _path(self, nonce: str) -> Path:
        return self._directory / f"{nonce}.json"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
