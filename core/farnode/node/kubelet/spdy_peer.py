"""Clients of exec and attach by SPDY/3.1: a stream each for stdin, stdout, stderr, the end and the terminal's size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from farnode.node.kubelet.connection import SpdyConnection, SpdyStream
from farnode.node.kubelet.conversation import Input

Json = dict[str, Any]

PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""In order of preference; the API server offers v5, too, which differs in nothing here and which kubelets refuse."""
CREATION = 30.0
"""Seconds for the client to open its streams (k8s.io/kubelet, DefaultStreamCreationTimeout)."""
CLOSING = 5.0
"""Seconds a client has for its goodbye."""
_RESIZE_MESSAGE = 4096
"""Bytes without an end of line that are no size of a terminal any more."""


async def streams(connection: SpdyConnection, kinds: Sequence[str]) -> dict[str, SpdyStream]:
    """One stream of each kind, or those that came in time; others are refused."""
    found: dict[str, SpdyStream] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(CREATION):
            while len(found) < len(kinds) and (stream := await connection.accept()) is not None:
                kind = stream.headers.get("streamtype", "")
                if kind not in kinds or kind in found:
                    await connection.refuse(stream)
                else:
                    found[kind] = stream
    return found


def kinds(protocol: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> list[str]:
    """The streams that a client of this protocol opens."""
    resize = tty and protocol.startswith(("v3.", "v4."))
    asked = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "resize": resize}
    return ["error", *(kind for kind, wanted in asked.items() if wanted)]


class SpdyPeer:
    """A conversation.Peer over the streams of a connection."""

    def __init__(self, connection: SpdyConnection, streams: Mapping[str, SpdyStream], protocol: str) -> None:
        self._connection = connection
        self._streams = streams
        self._protocol = protocol

    async def read(self, target: Input) -> None:
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(self._stdin(target)), tasks.create_task(self._sizes(target))]
            await self._streams["error"].inbox.over.wait()
            for reader in readers:
                reader.cancel()

    async def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        if stream in self._streams:
            await self._streams[stream].send(data)

    async def ping(self) -> None:
        await self._connection.ping()

    async def finish(self, status: Json) -> None:
        """Streams that are not ended keep clients waiting; the connection is closed when they have let go of it."""
        self._connection.drop()
        for kind in ("stdout", "stderr"):
            if kind in self._streams:
                await self._streams[kind].end()
        if self._protocol.startswith("v4."):
            await self._streams["error"].send(json.dumps(status, separators=(",", ":")).encode())
        elif status["status"] != "Success":
            await self._streams["error"].send(str(status["message"]).encode())
        for stream in self._streams.values():
            await stream.end()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._connection.over.wait(), CLOSING)

    async def _stdin(self, target: Input) -> None:
        if (stream := self._streams.get("stdin")) is not None:
            with suppress(ConnectionError):
                while data := await stream.receive():
                    await target.data(data)
            await target.end()

    async def _sizes(self, target: Input) -> None:
        """A line of JSON each, in whatever pieces."""
        if (stream := self._streams.get("resize")) is None:
            return
        rest = b""
        with suppress(ConnectionError):
            while data := await stream.receive():
                *lines, rest = (rest + data).split(b"\n")
                rest = b"" if len(rest) > _RESIZE_MESSAGE else rest
                for line in lines:
                    with suppress(ValueError, RecursionError):
                        await target.resize(json.loads(line))
