"""Byte streams that carry SPDY: an upgraded connection, and a tunnel of WebSocket messages.

After the 101 the connection's transport gets another protocol (`asyncio.Transport.set_protocol`, public) with asyncio's
own StreamReader and StreamWriter on it, which bring back-pressure in both directions. aiohttp has a way of its own
(`request.protocol.set_parser`), but it is made for its WebSocket reader and not documented; and `websockets` refuses a
subprotocol with a slash. Nothing is lost between: the protocol is exchanged before the 101 is sent, and a client may
send nothing of the new protocol before it has that. aiohttp's protocol goes on to own the connection: it learns that
it was lost; the handler is cancelled then. TLS has no half-closed connections, and in Python 3.11 its transport must
not be written to after it was closed, once here and once by aiohttp: `send` sees to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Protocol

from aiohttp import WSMsgType, web

from farnode.node.kubelet.upgrades import SPDY

_CHUNK = 65536


class Pipe(Protocol):
    """Bytes both ways. Both methods raise ConnectionError when the other side is gone."""

    async def receive(self) -> bytes:
        """b"" at its end."""

    async def send(self, data: bytes) -> None:
        """Returns when the other side takes more."""


class _Upgraded(asyncio.StreamReaderProtocol):
    """Lets the connection's former protocol know of its end."""

    def __init__(self, reader: asyncio.StreamReader, former: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._former = former

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._former.connection_lost(exc)


class Upgrade:
    """A request answered with 101, and the connection as a Pipe afterwards. `response` is what the handler returns."""

    def __init__(self, request: web.Request, transport: asyncio.Transport) -> None:
        self._request = request
        self._reader = asyncio.StreamReader(_CHUNK)
        wire = _Upgraded(self._reader, transport.get_protocol())
        transport.set_protocol(wire)
        wire.connection_made(transport)
        self._writer = asyncio.StreamWriter(transport, wire, self._reader, asyncio.get_running_loop())
        self.response = web.StreamResponse(status=HTTPStatus.SWITCHING_PROTOCOLS)
        self.response.headers.update({"Connection": "Upgrade", "Upgrade": SPDY})

    async def accept(self, protocol: str) -> None:
        if protocol:
            self.response.headers["X-Stream-Protocol-Version"] = protocol
        self.response.force_close()
        await self.response.prepare(self._request)

    def close(self) -> None:
        """What was sent still reaches the client."""
        self._writer.close()

    async def receive(self) -> bytes:
        return await self._reader.read(_CHUNK)

    async def send(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError("the client has gone")
        self._writer.write(data)
        await self._writer.drain()


@asynccontextmanager
async def upgraded(request: web.Request, protocol: str) -> AsyncIterator[Upgrade]:
    """The connection of a request while this is entered; `protocol` is the one chosen of
    X-Stream-Protocol-Version."""
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    upgrade = Upgrade(request, request.transport)
    try:
        await upgrade.accept(protocol)
        yield upgrade
    finally:
        upgrade.close()


class Tunnel:
    """The bytes are cut anywhere into messages; one without any is not the end."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        while (message := await self._socket.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
            if payload := contents(message.data):
                return payload
        return b""

    async def send(self, data: bytes) -> None:
        await self._socket.send_bytes(data)


def contents(message: str | bytes) -> bytes:
    """Of a WebSocket message: binary of kubectl, text of Python's client."""
    return message.encode() if isinstance(message, str) else message
