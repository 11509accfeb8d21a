"""What the API server refuses, as errors: those of farnode.errors and these beside them.

FarnodeError
├── Expired            410: what was asked for is no longer kept; list again
├── Permanent
│   └── Conflict       409: another uid or resourceVersion than the one meant, or the name is taken (`reason`)
└── Transient
    └── TooNew         the cache of this API server is behind the resourceVersion asked for; list without one
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from farnode.errors import Denied, FarnodeError, Invalid, NotFound, Permanent, Transient

Json = dict[str, Any]


class Conflict(Permanent):
    """`reason` is that of the Status: `Conflict`, or `AlreadyExists`."""

    def __init__(self, message: str, reason: str = "Conflict") -> None:
        super().__init__(message)
        self.reason = reason


class Expired(FarnodeError):
    """The resourceVersion or the continuation is too old."""


class TooNew(Transient):
    """The resourceVersion is newer than what this API server knows."""


_KINDS: dict[int, Callable[[str], FarnodeError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    410: Expired,
}


def failure(code: int, status: Json, retry_after: str | None = None) -> FarnodeError:
    """The error that a response of this code with this v1.Status stands for. `retry_after` is the header's value; only
    seconds are understood, which is all that API servers send."""
    words = str(status.get("message") or f"the API server answered {code}")
    if _too_new(status):
        return TooNew(words, retry_after=_seconds(retry_after, status))
    if code == 429 or code == 408 or code >= 500:
        return Transient(words, retry_after=_seconds(retry_after, status))
    if code == 409:
        return Conflict(words, str(status.get("reason") or "Conflict"))
    if code in (400, 422):
        return Invalid(_field(status), words)
    return _KINDS.get(code, Permanent)(words)


def status_of(content: bytes) -> Json:
    """The v1.Status of a failed call; of what is none (a proxy's page) the beginning, as its message."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"message": content[:200].decode(errors="replace").strip()}


def _details(status: Json) -> Json:
    found = status.get("details")
    return found if isinstance(found, dict) else {}


def _causes(status: Json) -> list[Json]:
    return [cause for cause in _details(status).get("causes") or () if isinstance(cause, dict)]


def _too_new(status: Json) -> bool:
    """Before Kubernetes 1.19 only the words say it, and the code is 500."""
    reasons = {cause.get("reason") for cause in _causes(status)}
    return "ResourceVersionTooLarge" in reasons or "Too large resource version" in str(status.get("message"))


def _field(status: Json) -> str:
    return next((str(cause["field"]) for cause in _causes(status) if cause.get("field")), "")


def _seconds(header: str | None, status: Json) -> float | None:
    if header and header.isdecimal():
        return float(header)
    seconds = _details(status).get("retryAfterSeconds")
    return float(seconds) if isinstance(seconds, (int, float)) else None
