"""Kubernetes' remote command protocol over a WebSocket, bridged to a stream of a runner.

The first byte of a message names its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final v1.Status, 4 resize, 255 the
half-close of another channel (v5 only; from the gateway only a pod's port has one). Neither side is read faster than
the other one takes it: a WebSocket message is only received when the runner gave credit for the last one, and credit is
only given when the client took the bytes. A client that leaves while the runner gives no credit is behind what nobody
receives, even its goodbye; that it has gone shows only when something is sent to it, and so something is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Query
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from farnode.errors import Invalid
from farnode.gateway.http.streaming import Streams
from farnode.wire.frames import Channel
from farnode.wire.link import Data, Stream, StreamClosed

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""In order of preference."""
_ERROR, _RESIZE, _CLOSE = 3, 4, 255
_RESTART = 1012
"""The WebSocket code of a server that restarts."""
_GONE = "the client has gone"
_NOTHING = bytes((Channel.STDOUT,))
"""An output without bytes, which clients pass over."""
_PROBED = 5.0
"""Seconds between two of them to a client that is not received from. Of one that left, the first is refused by its
machine, and the second fails here."""
_LARGEST = 65535
"""Rows or columns: what the kernel's winsize holds."""


Cells = Annotated[int | None, Query(ge=1, le=_LARGEST)]
"""Rows or columns of a terminal."""


def offered(websocket: WebSocket, known: Sequence[str] = PROTOCOLS) -> str:
    """The protocol to speak. What is refused is refused before the upgrade, as JSON with its proper status."""
    protocol = next((name for name in known if name in websocket.scope["subprotocols"]), None)
    if protocol is None:
        raise Invalid("Sec-WebSocket-Protocol", f"offers nothing known here; accepted: {', '.join(known)}")
    return protocol


async def carry(websocket: WebSocket, protocol: str, stream: Stream, stdin: bool, streams: Streams) -> None:
    """Accept the WebSocket and bridge it until its end, or the gateway's; the stream is closed then."""
    try:
        await websocket.accept(protocol)
        with streams.cancellable() as scope:
            await bridge(websocket, stream, stdin)
    finally:
        await end(stream, "the gateway ended the stream")
    if scope.cancelled_caught:
        await websocket.close(_RESTART)


async def bridge(websocket: WebSocket, stream: Stream, stdin: bool) -> None:
    """Until the command has ended, and then the client is told how; or until the client has gone, and then the stream
    is closed. Without `stdin` what the client sends as such is dropped: no one would read it."""
    async with asyncio.TaskGroup() as group:
        works = (_from_client(websocket, stream, stdin), _probe(websocket, stream))
        others = [group.create_task(work) for work in works]
        try:
            await _to_client(websocket, stream)
        except WebSocketDisconnect:
            await end(stream, _GONE)
        finally:
            for other in others:
                other.cancel()


async def end(stream: Stream, words: str) -> None:
    """Close the stream whatever became of the runner's connection."""
    with suppress(OSError):
        await stream.close(error=words)


async def _to_client(websocket: WebSocket, stream: Stream) -> None:
    await _send(websocket, _NOTHING)  # as the kubelet does: clients may wait for a first message
    with suppress(OSError):  # the runner's connection is gone, and the result says so; the client's raises another
        while (item := await stream.receive()) is not None:
            if isinstance(item, Data):
                await _send(websocket, bytes((item.channel,)) + item.data)
            elif item["type"] == "eof":
                await _send(websocket, bytes((_CLOSE, item["channel"])))
    await _send(websocket, bytes((_ERROR,)) + json.dumps(status(stream.result), separators=(",", ":")).encode())
    await websocket.close(1000)


async def _probe(websocket: WebSocket, stream: Stream) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await asyncio.sleep(_PROBED)
            if stream.is_full:
                await _send(websocket, _NOTHING)
    await end(stream, _GONE)


async def _send(websocket: WebSocket, message: bytes) -> None:
    """WebSocketDisconnect when the client has gone, also when another task was told so before."""
    if websocket.application_state is not WebSocketState.CONNECTED:
        raise WebSocketDisconnect
    await websocket.send_bytes(message)


async def _from_client(websocket: WebSocket, stream: Stream, stdin: bool) -> None:
    with suppress(StreamClosed, OSError):  # the command ended; _to_client says how
        while (message := await websocket.receive())["type"] == "websocket.receive":
            # binary of kubectl, text of Python's client
            data: bytes = message.get("bytes") or (message.get("text") or "").encode()
            if data:
                await _pass_on(data[0], data[1:], stream, stdin)
        await end(stream, _GONE)


async def _pass_on(channel: int, data: bytes, stream: Stream, stdin: bool) -> None:
    if channel == Channel.STDIN and stdin:
        await stream.send(Channel.STDIN, data)
    elif channel == _CLOSE and data[:1] == bytes((Channel.STDIN,)):
        await stream.eof(Channel.STDIN)
    elif channel == _RESIZE and (terminal := _terminal(data)):
        await stream.message(type="resize", **terminal)


def _terminal(data: bytes) -> dict[str, int] | None:
    """None for what is no size of a terminal, which the kubelet ignores too."""
    try:
        size = json.loads(data)
        terminal = {"rows": size["Height"], "cols": size["Width"]}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return terminal if all(type(n) is int and 0 < n <= _LARGEST for n in terminal.values()) else None


def status(result: dict[str, Any]) -> dict[str, Any]:
    """The v1.Status of a stream's result, as the kubelet words it: clients take the exit code from its cause."""
    code = result.get("exit_code")
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    if code is not None:
        return {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    words = str(result.get("error") or "the runner ended the stream without a result")
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {words}",
        "reason": "InternalError",
        "details": {"causes": [{"message": words}]},
        "code": 500,
    }
