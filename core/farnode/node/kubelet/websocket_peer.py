"""Clients of exec and attach by WebSocket: channel.k8s.io and its successors (k8s.io/kubelet, remotecommand).

The first byte of a message names its channel: 0 stdin, 1 stdout, 2 stderr, 3 the end, 4 resize; in v5 255 ends the
channel its second byte names. In the base64 forms messages are text: the channel a digit, the rest encoded.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import WSMsgType, web

from farnode.errors import Invalid
from farnode.node.kubelet.conversation import Input
from farnode.node.kubelet.pipes import contents
from farnode.node.kubelet.upgrades import offered_protocols

Json = dict[str, Any]

PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
MESSAGE = 32 * 2**20
"""Bytes of a message, which is what the kubelet's library takes (golang.org/x/net/websocket)."""
CLOSING = 5.0
"""Seconds a client has for its goodbye."""
CLOSE = 255
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE = range(5)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the protocols; "" is the oldest one."""

    protocol: str

    @property
    def is_text(self) -> bool:
        return "base64" in self.protocol

    @property
    def has_json_status(self) -> bool:
        """Before v4 the end of a session that failed was its message."""
        return self.protocol.startswith(("v4.", "v5."))

    @property
    def has_half_close(self) -> bool:
        return self.protocol.startswith("v5.")

    def decode(self, message: str | bytes) -> tuple[int, bytes] | None:
        """Channel and payload; None for what is neither."""
        raw = contents(message)
        if not raw:
            return None
        if not self.is_text:
            return raw[0], raw[1:]
        try:
            return raw[0] - ord("0"), base64.b64decode(raw[1:], validate=True)
        except binascii.Error:
            return None


def agreed(request: web.Request, known: Sequence[str]) -> web.WebSocketResponse:
    """To be prepared. It speaks the first protocol offered that is known, none where none is offered; Invalid
    otherwise. Compression is not negotiated: kubectl offers it without meaning to."""
    if (offered := offered_protocols(request)) and not set(offered) & set(known):
        raise Invalid("", f"client supports {', '.join(offered)}, server accepts {', '.join(known)}")
    socket = web.WebSocketResponse(protocols=known, compress=False, max_msg_size=MESSAGE, timeout=CLOSING)
    if not socket.can_prepare(request):
        raise Invalid("", "unable to upgrade: the request is no handshake of a WebSocket (RFC 6455, 4.2.1)")
    return socket


async def opened(request: web.Request, known: Sequence[str]) -> web.WebSocketResponse:
    socket = agreed(request, known)
    await socket.prepare(request)
    return socket


async def send(socket: web.WebSocketResponse, dialect: Dialect, channel: int, data: bytes) -> None:
    """ConnectionError when the client has gone."""
    if dialect.is_text:
        await socket.send_str(chr(ord("0") + channel) + base64.b64encode(data).decode())
    else:
        await socket.send_bytes(bytes((channel,)) + data)


class WebSocketPeer:
    """A conversation.Peer over an opened WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._dialect = Dialect(socket.ws_protocol or "")

    async def greet(self, stdout: bool, stderr: bool) -> None:
        """An empty message on the first channel that can be written: clients may wait for one."""
        await self._send(_STDOUT if stdout else _STDERR if stderr else _ERROR, b"")

    async def read(self, target: Input) -> None:
        while (message := await self._socket.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
            if (found := self._dialect.decode(message.data)) is not None:
                await self._pass_on(*found, target)

    async def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        await self._send(_STDOUT if stream == "stdout" else _STDERR, data)

    async def ping(self) -> None:
        await self._socket.ping()

    async def finish(self, status: Json) -> None:
        if self._dialect.has_json_status:
            await self._send(_ERROR, json.dumps(status, separators=(",", ":")).encode())
        elif status["status"] != "Success":
            await self._send(_ERROR, str(status["message"]).encode())
        await self._socket.close()

    async def _pass_on(self, channel: int, data: bytes, target: Input) -> None:
        if channel == _STDIN:
            await target.data(data)
        elif channel == _RESIZE:
            await target.resize(_json(data))
        elif channel == CLOSE and self._dialect.has_half_close and data == bytes((_STDIN,)):
            await target.end()

    async def _send(self, channel: int, data: bytes) -> None:
        await send(self._socket, self._dialect, channel, data)


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
