"""A session of exec or attach: what its client sends goes to the gateway, what comes back to the client.

Neither side is read faster than the other one takes it. Whatever ends it, the client is told how.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Any, Literal, Protocol

from farnode.client.execution import ExecSession
from farnode.errors import FarnodeError
from farnode.node.kubelet import status
from farnode.node.kubelet.signs_of_life import pinging

Json = dict[str, Any]

_CHUNK = 65536
_LARGEST = 65535
"""Rows or columns: what the kernel's winsize holds."""


class Input:
    """The session's standard input, and the size of its terminal. What comes after the session's end is dropped."""

    def __init__(self, session: ExecSession, stdin: bool) -> None:
        self._session = session
        self._stdin = stdin

    async def data(self, data: bytes) -> None:
        if self._stdin:
            with suppress(FarnodeError):
                for first in range(0, len(data), _CHUNK):
                    await self._session.send(data[first : first + _CHUNK])

    async def end(self) -> None:
        if self._stdin:
            with suppress(FarnodeError):
                await self._session.close_stdin()

    async def resize(self, size: object) -> None:
        """`size` is {"Width", "Height"}; anything else is ignored, as the kubelet does."""
        if not isinstance(size, dict):
            return
        rows, cols = (_cells(size.get(key)) for key in ("Height", "Width"))
        if rows and cols:
            with suppress(FarnodeError):
                await self._session.resize(rows, cols)


def _cells(value: object) -> int | None:
    return value if type(value) is int and 0 < value <= _LARGEST else None


class Peer(Protocol):
    """The client of a session. `output`, `ping` and `finish` raise ConnectionError when it is gone."""

    async def read(self, target: Input) -> None:
        """Passes on what it sends, until it has gone."""

    async def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None: ...

    async def ping(self) -> None: ...

    async def finish(self, status: Json) -> None:
        """Tells it how the session ended, and waits until it has heard that."""


async def converse(session: ExecSession, peer: Peer, stdin: bool) -> None:
    """Until the session ends, or its client leaves: then the session is left, too."""
    try:
        result = await _conversation(session, peer, stdin)
    except asyncio.CancelledError:
        await _finish(peer, status.failed("the node ended the session"))
        raise
    await _finish(peer, result)


async def _conversation(session: ExecSession, peer: Peer, stdin: bool) -> Json:
    async with pinging(peer.ping), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_read(session, peer, stdin))
        try:
            return await _result(session, peer)
        finally:
            reading.cancel()


async def _result(session: ExecSession, peer: Peer) -> Json:
    try:
        async with aclosing(session.output()) as output:
            async for stream, data in output:
                await peer.output(stream, data)
    except (FarnodeError, ConnectionError) as error:
        return status.failed(str(error))
    assert session.exit_code is not None
    return status.ended(session.exit_code)


async def _read(session: ExecSession, peer: Peer, stdin: bool) -> None:
    await peer.read(Input(session, stdin))
    await session.aclose()


async def _finish(peer: Peer, result: Json) -> None:
    with suppress(ConnectionError):
        await peer.finish(result)
