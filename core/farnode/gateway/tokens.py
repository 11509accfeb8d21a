"""Who may call the gateway.

A token is random and shown once; only its SHA-256 is kept, so a stolen copy of the file opens nothing. A plain hash
suffices because tokens are not passwords: 256 random bits cannot be guessed. `farnode gateway token …` changes the
file while a gateway runs, which notices at the next request.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from farnode.errors import Denied, Invalid, NotFound
from farnode.gateway.port import Caller

Role = Literal["user", "admin", "cluster"]
"""Whoever has one of role `cluster` has every owner `<name>/<namespace>`; see `port.Caller`."""
_OWNER = re.compile(r"[a-z0-9]([-a-z0-9._@/]*[a-z0-9])?", re.ASCII)
_OWNER_LENGTH = 128
_CLUSTER_LENGTH = _OWNER_LENGTH - 64
"""Of a cluster's name: a slash and a namespace, of 63 at most, come behind it."""
_PREFIX = "farnode_"
"""Lets scanners of leaked secrets recognise it."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a token. `id` is the beginning of its hash: enough to name it, nothing to log in with."""

    id: str
    owner: str
    role: Role
    created: float


class TokenStore(Protocol):
    """Where records are kept, by the SHA-256 of their token in hex."""

    def read(self) -> Mapping[str, TokenRecord]:
        """As they are now; called at every request, so cheap when nothing changed."""
        ...

    def change(self) -> AbstractContextManager[dict[str, TokenRecord]]:
        """The records to edit; durable when the block ends without an error. One at a time, across processes."""
        ...


class Tokens:
    """Issues, checks and revokes the tokens of one gateway."""

    def __init__(self, store: TokenStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def issue(self, owner: str, role: Role = "user") -> str:
        """A new token, which cannot be shown again; Invalid for an owner's name nobody may have, or whose pods would be
        another's."""
        _check_name(owner, _CLUSTER_LENGTH if role == "cluster" else _OWNER_LENGTH)
        token = _PREFIX + secrets.token_urlsafe(32)
        digest = _digest(token)
        with self._store.change() as records:
            _check_alone(owner, role, records.values())
            records[digest] = TokenRecord(digest[:12], owner, role, self._clock())
        return token

    def authenticate(self, header: str | None) -> Caller:
        """The caller of a request with this Authorization header; Denied says what is missing."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Denied("a token is needed: Authorization: Bearer farnode_…")
        record = self._store.read().get(_digest(token.strip()))
        if record is None:
            raise Denied("this token is unknown here, or was revoked")
        return Caller(record.owner, admin=record.role == "admin", cluster=record.role == "cluster")

    def list(self) -> list[TokenRecord]:
        return sorted(self._store.read().values(), key=lambda record: record.created)

    def revoke(self, id: str) -> TokenRecord:  # noqa: A002
        """NotFound when no token has this id."""
        with self._store.change() as records:
            for digest, record in records.items():
                if record.id == id:
                    return records.pop(digest)
        raise NotFound(f"no token has the id {id!r}")


def _check_name(owner: str, length: int) -> None:
    if not _OWNER.fullmatch(owner) or len(owner) > length:
        raise Invalid(
            "owner",
            f"{owner!r} is no owner's name; accepted: at most {length} of a-z 0-9 - . _ @ /, "
            "beginning and ending with a letter or digit",
        )


def _check_alone(owner: str, role: Role, others: Iterable[TokenRecord]) -> None:
    """A namespace of a cluster is nobody else's owner: a cluster's node ends pods that its cluster does not know."""
    for other in others:
        if role != "cluster" and other.role == "cluster" and owner.startswith(f"{other.owner}/"):
            raise Invalid("owner", f"{owner!r} lies inside {other.owner!r}, which is a cluster's; choose another name")
        if role == "cluster" and other.role != "cluster" and other.owner.startswith(f"{owner}/"):
            words = f"{other.owner!r}, who has a token here, lies inside {owner!r}; choose another name for the cluster"
            raise Invalid("owner", words)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
