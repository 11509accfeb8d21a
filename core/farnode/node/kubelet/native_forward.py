"""Port-forward by the channels of a WebSocket, as Python's client asks for it: `?port=8080,9090&port=…`.

Each port is one connection: channel 2i its data, 2i+1 what went wrong with it. Both begin with the port's number
(k8s.io/kubelet, pkg/cri/streaming/portforward). Only v5 has a way to end one direction, and kubelets do not speak it
here; so it is chosen only where nothing else is offered.
"""

from __future__ import annotations

import struct
from contextlib import suppress

import anyio
from aiohttp import WSMsgType, web

from farnode.errors import Invalid
from farnode.node.kubelet.forwarding import Ports
from farnode.node.kubelet.inbox import Inbox
from farnode.node.kubelet.signs_of_life import pinging
from farnode.node.kubelet.spdy_forward import port
from farnode.node.kubelet.upgrades import offered_protocols
from farnode.node.kubelet.websocket_peer import CLOSE, Dialect, opened, send

PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
_HALF_CLOSING = ("v5.channel.k8s.io",)
_MOST = 64
"""Ports of one request; a channel is one byte."""


class Channel:
    """A forwarding.Near: one port's data."""

    def __init__(self, socket: web.WebSocketResponse, dialect: Dialect, index: int) -> None:
        self.inbox = Inbox()
        self._socket = socket
        self._dialect = dialect
        self._data, self._errors = 2 * index, 2 * index + 1

    async def receive(self) -> bytes:
        return await self.inbox.receive()

    async def send(self, payload: bytes) -> None:
        await send(self._socket, self._dialect, self._data, payload)

    async def end(self) -> None:
        """The pod sends no more, which the client cannot be told without ending all."""
        self.inbox.close()

    async def told(self, words: str) -> None:
        await send(self._socket, self._dialect, self._errors, words.encode())

    async def greet(self, number: int) -> None:
        for channel in (self._data, self._errors):
            await send(self._socket, self._dialect, channel, struct.pack("<H", number))


async def serve(request: web.Request, ports: Ports) -> web.StreamResponse:
    """Until all connections have ended, or the client has gone."""
    numbers = _numbers(request)
    known = PROTOCOLS if set(PROTOCOLS) & set(offered_protocols(request)) else (*PROTOCOLS, *_HALF_CLOSING)
    socket = await opened(request, known)
    channels = [Channel(socket, Dialect(socket.ws_protocol or ""), index) for index in range(len(numbers))]
    with suppress(ConnectionError):
        for channel, number in zip(channels, numbers, strict=True):
            await channel.greet(number)
        async with pinging(socket.ping), anyio.create_task_group() as reading:
            reading.start_soon(_read, socket, channels)
            async with anyio.create_task_group() as tasks:
                for channel, number in zip(channels, numbers, strict=True):
                    tasks.start_soon(_join, ports, number, channel)
            reading.cancel_scope.cancel()
    await socket.close()
    return socket


def _numbers(request: web.Request) -> list[int]:
    texts = [text.strip() for line in request.query.getall("port", []) for text in line.split(",")]
    if not texts:
        raise Invalid("", 'query parameter "port" is required')
    found = [port(text) for text in texts]
    if None in found or len(found) > _MOST:
        raise Invalid("port", f"is {', '.join(texts)[:80]!r}; accepted: at most {_MOST} numbers from 1 to 65535")
    return [number for number in found if number is not None]


async def _join(ports: Ports, number: int, channel: Channel) -> None:
    with suppress(ConnectionError):
        await ports.join(number, channel, channel.told)
    channel.inbox.drop()


async def _read(socket: web.WebSocketResponse, channels: list[Channel]) -> None:
    dialect = Dialect(socket.ws_protocol or "")
    while (message := await socket.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
        if (found := dialect.decode(message.data)) is not None:
            await _pass_on(*found, dialect, channels)
    for channel in channels:
        channel.inbox.close()


async def _pass_on(number: int, data: bytes, dialect: Dialect, channels: list[Channel]) -> None:
    if number == CLOSE and dialect.has_half_close and data:
        number, data, ended = data[0], b"", True
    else:
        ended = False
    if number % 2 or not 0 <= number < 2 * len(channels):
        return
    inbox = channels[number // 2].inbox
    await inbox.put(data)
    if ended:
        inbox.complete()
