"""SQLite: the one place where the gateway's state lives.

One row a record, as JSON; one transaction a batch of changes (`commit`), in WAL with `synchronous=FULL`: what was
answered survives a power cut, too, for an attempt forgotten by a rebooted host could be started twice. Measured on a
2-core machine: see `benchmarks/README.md`. Watchers need no log of events: every pod carries the sequence number of
its last change, so `after=SEQ` is "all with a higher number"; the uids of removed pods are kept apart, bounded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson

from farnode.errors import Invalid
from farnode.gateway.records import AllocationRecord, ClaimKey, ClaimRecord, PodRecord

VERSION = 2
TOMBSTONES = 10_000
"""Removed pods a watcher can still learn of; older watchers are told to list again."""
SCHEMA = """
CREATE TABLE pods (uid TEXT PRIMARY KEY, seq INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE bundles (uid TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE allocations (nonce TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE gone (seq INTEGER PRIMARY KEY, uid TEXT NOT NULL, owner TEXT NOT NULL);
CREATE TABLE usage (owner TEXT NOT NULL, day TEXT NOT NULL, node_seconds REAL NOT NULL, PRIMARY KEY (owner, day));
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
MIGRATIONS = (
    SCHEMA,
    """
CREATE TABLE claims (
    owner TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (owner, namespace, name)
) WITHOUT ROWID;
""",
)
"""From nothing to schema 1, from 1 to 2, and so on."""


@dataclass(slots=True)
class Batch:
    """What one transaction writes. A record of None deletes the row."""

    pods: dict[str, tuple[int, PodRecord | None]] = field(default_factory=dict)
    bundles: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    allocations: dict[str, AllocationRecord | None] = field(default_factory=dict)
    gone: list[tuple[int, str, str]] = field(default_factory=list)
    usage: list[tuple[str, str, float]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    claims: dict[ClaimKey, ClaimRecord | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        rows = (self.pods, self.bundles, self.allocations, self.gone, self.usage, self.settings, self.claims)
        return any(rows)


@dataclass(frozen=True, slots=True)
class Loaded:
    pods: list[tuple[int, PodRecord]]
    bundles: dict[str, Mapping[str, Any]]
    allocations: list[AllocationRecord]
    gone: list[tuple[int, str, str]]
    settings: dict[str, str]
    claims: list[ClaimRecord]


class Store:
    """Used by one thread at a time. Raises Invalid for a database that a newer farnode wrote."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:  # before anything is written
            self._db.close()
            raise Invalid(str(path), f"was written by a newer farnode (schema {version}, this one knows {VERSION})")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if version < VERSION:
            self._db.executescript(f"BEGIN; {''.join(MIGRATIONS[version:])} PRAGMA user_version={VERSION}; COMMIT;")

    def close(self) -> None:
        self._db.close()

    def load(self) -> Loaded:
        rows = self._db.execute
        return Loaded(
            [(seq, decode(PodRecord, orjson.loads(text))) for seq, text in rows("SELECT seq, record FROM pods")],
            {uid: orjson.loads(text) for uid, text in rows("SELECT uid, document FROM bundles")},
            [decode(AllocationRecord, orjson.loads(text)) for (text,) in rows("SELECT record FROM allocations")],
            list(rows("SELECT seq, uid, owner FROM gone ORDER BY seq")),
            dict(rows("SELECT name, value FROM settings")),
            [decode(ClaimRecord, orjson.loads(text)) for (text,) in rows("SELECT record FROM claims")],
        )

    def usage(self) -> list[tuple[str, str, float]]:
        """Node-seconds by owner and day (UTC), of allocations that ended."""
        return list(self._db.execute("SELECT owner, day, node_seconds FROM usage ORDER BY day, owner"))

    def commit(self, batch: Batch) -> None:
        """All of it or nothing; on return it is on the disk."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._write(batch)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _write(self, batch: Batch) -> None:
        many = self._db.executemany
        many(
            "REPLACE INTO pods VALUES (?, ?, ?)",
            [(uid, seq, dump(encode(pod))) for uid, (seq, pod) in batch.pods.items() if pod is not None],
        )
        many("DELETE FROM pods WHERE uid = ?", [(uid,) for uid, (_, pod) in batch.pods.items() if pod is None])
        many(
            "REPLACE INTO bundles VALUES (?, ?)",
            [(uid, dump(document)) for uid, document in batch.bundles.items() if document is not None],
        )
        many("DELETE FROM bundles WHERE uid = ?", _absent(batch.bundles))
        many(
            "REPLACE INTO allocations VALUES (?, ?)",
            [(nonce, dump(encode(record))) for nonce, record in batch.allocations.items() if record is not None],
        )
        many("DELETE FROM allocations WHERE nonce = ?", _absent(batch.allocations))
        many("INSERT INTO gone VALUES (?, ?, ?)", batch.gone)
        if batch.gone:
            self._db.execute(
                "DELETE FROM gone WHERE seq <= (SELECT seq FROM gone ORDER BY seq DESC LIMIT 1 OFFSET ?)", (TOMBSTONES,)
            )
        many(
            "INSERT INTO usage VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET node_seconds = node_seconds + excluded.node_seconds",
            batch.usage,
        )
        many("REPLACE INTO settings VALUES (?, ?)", list(batch.settings.items()))
        many(
            "REPLACE INTO claims VALUES (?, ?, ?, ?)",
            [(*key, dump(encode(claim))) for key, claim in batch.claims.items() if claim is not None],
        )
        gone = [key for key, claim in batch.claims.items() if claim is None]
        many("DELETE FROM claims WHERE owner = ? AND namespace = ? AND name = ?", gone)


def _absent(rows: Mapping[str, object | None]) -> Iterable[tuple[str]]:
    return [(key,) for key, value in rows.items() if value is None]


def dump(value: object) -> str:
    return orjson.dumps(value).decode()


def encode(value: Any) -> Any:
    """A record as JSON's types, by its fields; fields that have their default are left out."""
    kind: type = type(value)
    if kind in _PLAIN:
        return value
    if (defaults := _defaults(kind)) is not None:
        return {name: encode(one) for name, default in defaults if (one := getattr(value, name)) != default}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


_PLAIN = frozenset((str, int, float, bool, dict, type(None)))


@cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...] | None:
    return tuple((item.name, item.default) for item in fields(kind)) if is_dataclass(kind) else None


def decode(kind: type, value: Mapping[str, Any]) -> Any:
    """The record of `kind` that `encode` wrote; unknown fields are those of a later patch release and are ignored."""
    readers: dict[str, Any] = _readers(kind)
    return kind(**{name: readers[name](item) for name, item in value.items() if name in readers})


@cache
def _readers(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: _reader(hints[item.name]) for item in fields(kind)}


def _reader(hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (inner,) = (_reader(argument) for argument in arguments if argument is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda value: tuple(item(entry) for entry in value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: decode(hint, value)
    return lambda value: value
