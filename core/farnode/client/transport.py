"""HTTP over any byte stream, and the gateway's errors as ours.

httpcore and not httpx: its import costs half as much, a request a sixth less, and a dialler is its network backend.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import anyio
import httpcore

from farnode.client.backend import Backend
from farnode.client.dial import CONNECT_TIMEOUT, Dial
from farnode.errors import Denied, FarnodeError, Invalid, NotFound, Permanent, Transient

Headers = Sequence[tuple[bytes, bytes]]

_ORIGIN = b"http://gateway"
_ANSWER_TIMEOUT = 60.0
_TRANSIENT = frozenset({408, 429, 502, 503, 504})
_CONNECTIONS = 256  # each followed log and each watch holds one
_IDLE = 60.0  # seconds a connection is kept for the next request: less than the gateway keeps it
_AT_ONCE = 8  # requests: more would cost connections and gain nothing


class Gone(FarnodeError):
    """The events asked for are no longer kept; never leaves the client."""


class Unauthenticated(Denied):
    """The gateway does not know who calls."""


class TooLarge(Permanent):
    """What was sent is more than the gateway takes."""


class Defect(Permanent):
    """The gateway failed at it."""


class Transport:
    """Requests of one caller to one gateway."""

    def __init__(self, dial: Dial, token: Callable[[], str | None]) -> None:
        """`token` is read again when the gateway does not know the one before any more."""
        self.dial = dial
        self.authorization: Headers = _authorization(token())
        self._token = token
        self._turn = anyio.Semaphore(_AT_ONCE)
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=Backend(dial),
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_AT_ONCE,
            keepalive_expiry=_IDLE,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answered; one try, and one more with another token."""
        try:
            return await self._call(method, path, body)
        except Unauthenticated:
            if not self._renewed():
                raise
            return await self._call(method, path, body)

    async def _call(self, method: str, path: str, body: Any) -> Any:
        headers, content = self._headers, None
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            headers = [*headers, (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(content))]
        extensions = {"timeout": _timeouts(_ANSWER_TIMEOUT)}
        url = _ORIGIN + path.encode()
        with _foreign_errors():
            async with self._turn:
                response = await self._pool.request(
                    method, url, headers=headers, content=content, extensions=extensions
                )
        if response.status >= 300:
            raise failure(response.status, response.headers, response.content)
        try:
            return json.loads(response.content)
        except ValueError:
            raise Transient("the gateway answered noise: no JSON") from None

    @asynccontextmanager
    async def stream(self, path: str, silence: float | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body in chunks, read only as it is asked for. `silence`: seconds without a byte that mean a dead link."""
        extensions = {"timeout": _timeouts(silence)}
        with _foreign_errors():
            opening = self._pool.stream("GET", _ORIGIN + path.encode(), headers=self._headers, extensions=extensions)
            async with opening as response:
                if response.status == 401:
                    self._renewed()
                if response.status >= 300:
                    raise failure(response.status, response.headers, await response.aread())
                yield response.aiter_stream()

    @property
    def _headers(self) -> Headers:
        return [(b"Host", b"gateway"), *self.authorization]

    def _renewed(self) -> bool:
        """Whether there is another token now."""
        before = self.authorization
        with suppress(FarnodeError):
            self.authorization = _authorization(self._token())
        return self.authorization != before


def _authorization(token: str | None) -> Headers:
    return [(b"Authorization", b"Bearer " + token.encode())] if token is not None else []


def failure(status: int, headers: Headers, content: bytes) -> FarnodeError:
    """The server's answer as an error of ours; what stands between (a proxy) may answer anything."""
    try:
        error = json.loads(content)["error"]
        field, words = str(error.get("field") or ""), str(error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        field, words = "", f"the gateway answered {status}"
    if status == 400:
        return Invalid(field, words)
    if status == 401:
        return Unauthenticated(words)
    if status == 403:
        return Denied(words)
    if status == 404:
        return NotFound(words)
    if status == 410:
        return Gone(words)
    if status in _TRANSIENT:
        return Transient(words, retry_after=_retry_after(headers))
    return _PERMANENT.get(status, Permanent)(words)


def _retry_after(headers: Headers) -> float | None:
    value = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    return float(value) if value.isdigit() else None


_PERMANENT: Mapping[int, type[Permanent]] = {413: TooLarge, 500: Defect}


@contextmanager
def _foreign_errors() -> Iterator[None]:
    try:
        yield
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise Transient(f"the connection to the gateway failed: {error or type(error).__name__}") from error


def _timeouts(read: float | None) -> dict[str, float | None]:
    return {"connect": CONNECT_TIMEOUT, "pool": CONNECT_TIMEOUT, "write": _ANSWER_TIMEOUT, "read": read}
