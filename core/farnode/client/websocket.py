"""The client's end of a WebSocket over any byte stream: exec. The protocol is wsproto's, which does no I/O."""

from __future__ import annotations

import anyio
from anyio.abc import ByteStream
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
)
from wsproto.utilities import ProtocolError

from farnode.client.transport import Headers, failure
from farnode.errors import FarnodeError, Transient

_CHUNK = 65536


class WebSocket:
    """Binary messages both ways; reads no further than it is asked."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._parts: list[bytes] = []
        self._sending = anyio.Lock()

    async def open(self, target: str, headers: Headers, subprotocol: str) -> None:
        """The handshake; what the server answers instead is raised as an error of ours."""
        request = Request(
            host="gateway",
            target=target,
            subprotocols=[subprotocol],
            extra_headers=[(name, value) for name, value in headers],
        )
        await self._send(request)
        event = await self._next()
        if isinstance(event, RejectConnection):
            raise await self._rejection(event)
        if not isinstance(event, AcceptConnection) or event.subprotocol != subprotocol:
            raise Transient(f"the gateway does not speak {subprotocol}")

    async def send(self, data: bytes) -> None:
        await self._send(BytesMessage(data=data))

    async def receive(self) -> bytes | None:
        """The next message; None when the other side closed in order. Transient when the connection was lost."""
        while True:
            event = await self._next()
            if isinstance(event, CloseConnection):
                await self._send(event.response())
                return None
            if isinstance(event, Ping) and not self._sending.locked():
                # else what is being sent shows that we live, and may wait for an output that nobody else receives
                await self._send(event.response())
            elif isinstance(event, BytesMessage):
                self._parts.append(bytes(event.data))
                if event.message_finished:
                    message, self._parts = b"".join(self._parts), []
                    return message

    async def aclose(self) -> None:
        await anyio.aclose_forcefully(self._stream)

    async def _send(self, event: Event) -> None:
        async with self._sending:
            try:
                await self._stream.send(self._protocol.send(event))
            except ProtocolError:
                raise Transient("the stream is closed") from None
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise Transient("the connection to the gateway was lost") from error

    async def _next(self) -> Event:
        while not self._events:
            try:
                self._protocol.receive_data(await self._stream.receive(_CHUNK))
            except ProtocolError:
                raise Transient("the gateway sent noise on the stream") from None
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise Transient("the connection to the gateway was lost") from error
            self._events.extend(self._protocol.events())
        return self._events.pop(0)

    async def _rejection(self, rejected: RejectConnection) -> FarnodeError:
        body = b""
        while rejected.has_body:
            event = await self._next()
            if not isinstance(event, RejectData):
                break
            body += event.data
            if event.body_finished:
                break
        return failure(rejected.status_code, rejected.headers, body)
