"""Tokens' records in one JSON file of mode 0600."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from farnode.gateway.tokens import TokenRecord


class TokenFile:
    """A TokenStore in `<state>/tokens.json`, replaced as a whole; read again only when it was replaced."""

    def __init__(self, state: Path) -> None:
        self._path = state / "tokens.json"
        self._seen: tuple[int, int] | None = None
        self._records: dict[str, TokenRecord] = {}

    def read(self) -> Mapping[str, TokenRecord]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return {}
        if self._seen != (stat.st_ino, stat.st_mtime_ns):
            content = json.loads(self._path.read_bytes())
            self._records = {digest: TokenRecord(**record) for digest, record in content.items()}
            self._seen = (stat.st_ino, stat.st_mtime_ns)
        return self._records

    @contextmanager
    def change(self) -> Iterator[dict[str, TokenRecord]]:
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._seen = None
            records = dict(self.read())
            yield records
            self._replace({digest: asdict(record) for digest, record in records.items()})

    def _replace(self, content: object) -> None:
        temporary = self._path.with_suffix(".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        self._seen = None
