"""HTTP to the API server by aiohttp: one pool of connections for calls, one without limit for streams and Leases."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

import aiohttp
from aiohttp import AddrInfoType
from yarl import URL

from farnode.errors import Denied, FarnodeError, Permanent, Transient, Unreachable
from farnode.node.kube.connection import Access, Connection
from farnode.node.kube.failures import failure, status_of

_CONNECTIONS = 64
"""For calls, at once: API servers serve some hundreds for everybody. Streams last, so each has its own."""
_URGENT = "/apis/coordination.k8s.io/"
"""Leases, which must not wait behind a thousand other calls: nodes without one lose their pods."""
_ANSWER = 65.0
"""Seconds: API servers end a call themselves after 60."""
_CONNECT = 10.0
_IDLE = 60.0
"""Seconds that a connection is kept for the next call; API servers close it after 90."""
_LINE = 64 * 1024**2
"""Bytes of a stream's line at most: one object, of which etcd's own form ends at 1.5 MiB."""
_RESTART = 30.0
"""Seconds after a broken connection in which a refusal is not taken at its word: an API server that has just started
denies what its roles allow until it has read them."""
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""Half an hour of silence is what TCP takes for life otherwise; here half a minute without any acknowledgement ends a
connection. A platform that lacks one of them keeps its own."""


class Transport:
    """To be opened and closed. Errors are those of failures.failure, and Unreachable where there was no answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._calls: aiohttp.ClientSession | None = None
        self._apart: aiohttp.ClientSession | None = None
        self._broken = -math.inf

    async def open(self) -> None:
        await self._connection.access()
        self._calls = _session(_CONNECTIONS, aiohttp.ClientTimeout(total=_ANSWER, sock_connect=_CONNECT))
        self._apart = _session(0, aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT))

    async def close(self) -> None:
        for session in (self._calls, self._apart):
            assert session
            await session.close()

    async def call(
        self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None, content_type: str
    ) -> bytes:
        headers = {"Content-Type": content_type} if body is not None else {}
        session = self._apart if path.startswith(_URGENT) else self._calls
        try:
            async with self._answer(session, method, path, query, headers, body) as response:
                return await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    async def lines(
        self, path: str, query: Mapping[str, str], silence: Callable[[], float]
    ) -> AsyncGenerator[bytes, None]:
        """A stream's lines until the API server ends it; Unreachable after `silence()` seconds without any byte."""
        try:
            async with (
                self._answer(self._apart, "GET", path, query, {}, None) as response,
                aclosing(_lines(response.content, silence)) as lines,
            ):
                async for line in lines:
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    @asynccontextmanager
    async def _answer(
        self,
        session: aiohttp.ClientSession | None,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert session, "not open"
        access = await self._connection.access()
        response = await _ask(session, access, method, path, query, headers, body)
        if response.status == 401:
            response.close()  # the connection goes with the certificate that was refused
            access = await self._connection.renew(access)
            response = await _ask(session, access, method, path, query, headers, body)
        async with response:
            if response.status >= 400:
                raise self._failure(response, await response.read())
            yield response

    def _failure(self, response: aiohttp.ClientResponse, content: bytes) -> FarnodeError:
        found = failure(response.status, status_of(content), response.headers.get("Retry-After"))
        fresh = _now() < self._broken + _RESTART
        return Transient(str(found)) if fresh and isinstance(found, Denied) else found

    def _unreachable(self, error: Exception) -> Unreachable:
        self._broken = _now()
        if isinstance(error, aiohttp.ClientConnectorError):
            words = f"{error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
        else:
            words = str(error) or type(error).__name__
        return Unreachable(f"the API server cannot be reached: {words}")


async def _ask(
    session: aiohttp.ClientSession,
    access: Access,
    method: str,
    path: str,
    query: Mapping[str, str] | None,
    headers: Mapping[str, str],
    body: bytes | None,
) -> aiohttp.ClientResponse:
    url = URL(access.url + path, encoded=True)
    async with asyncio.timeout(_ANSWER):
        return await session.request(
            method,
            url.with_query(query) if query else url,
            data=body,
            headers={**headers, "Authorization": access.authorization} if access.authorization else headers,
            ssl=access.tls or True,
            server_hostname=access.server_name,
            proxy=access.proxy,
            allow_redirects=False,
        )


async def _lines(content: aiohttp.StreamReader, silence: Callable[[], float]) -> AsyncGenerator[bytes, None]:
    """Without aiohttp's own readline, which refuses lines larger than its buffer."""
    begun: list[bytes] = []
    while True:
        async with asyncio.timeout(silence()):
            chunk = await content.readany()
        if not chunk:
            return
        first, *others = chunk.split(b"\n")
        begun.append(first)
        for part in others:
            yield b"".join(begun)
            begun = [part]
        if len(begun) > 1 and sum(map(len, begun)) > _LINE:
            raise Permanent(f"a line of more than {_LINE} bytes")


def _session(connections: int, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=_IDLE, socket_factory=_socket)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "farnode-node"},
    )


def _socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        with suppress(AttributeError, OSError):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _now() -> float:
    return asyncio.get_running_loop().time()
