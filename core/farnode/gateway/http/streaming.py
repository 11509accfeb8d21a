"""Responses that may never end: events, logs.

One chunk is under way at a time, and the next is asked for only when the client's connection took the last one, so a
client that does not read costs a socket buffer. When the gateway stops they are ended, not waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import anyio
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from farnode.errors import FarnodeError
from farnode.gateway.port import EventsGone

Item = TypeVar("Item")
_log = logging.getLogger(__name__)
FIRST_STEP = 2.0
"""Seconds the answer's headers wait for the first step, whose error would become the status; a silent container's
log must not keep its reader waiting for headers."""


class Streams:
    """Everything of an application that would keep it from stopping."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._closing = False

    @contextmanager
    def cancellable(self) -> Iterator[anyio.CancelScope]:
        """The block is cancelled by `close`, and at once when that happened already."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            if self._closing:
                scope.cancel()
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def close(self) -> None:
        self._closing = True
        for scope in self._scopes:
            scope.cancel()

    async def respond(
        self, items: AsyncIterator[Item], encode: Callable[[Item], bytes], media_type: str, *, resumable: bool
    ) -> Response:
        """A response of `items`, or the error of their first step. When the gateway stops, a `resumable` one ends in
        order; any other is cut off, or its reader would take it for complete."""
        source = _Source(items, encode)
        try:
            await asyncio.wait({source.first}, timeout=FIRST_STEP)
            if source.first.done():
                source.first.result()
        except BaseException:
            await source.close()
            raise
        return _Streamed(source, self, media_type, resumable)


class _Source(Generic[Item]):
    """An iterator whose first step is taken before anybody iterates."""

    def __init__(self, items: AsyncIterator[Item], encode: Callable[[Item], bytes]) -> None:
        self._items = items
        self._encode = encode
        self.first = asyncio.ensure_future(anext(items, None))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        item = await self.first
        while item is not None:
            yield self._encode(item)
            item = await anext(self._items, None)

    async def close(self) -> None:
        """Ends it now rather than when it is collected: it holds a runner's stream or a place among the watchers."""
        with anyio.CancelScope(shield=True):
            self.first.cancel()
            await asyncio.wait({self.first})
            if isinstance(self._items, AsyncGenerator):
                await self._items.aclose()


class _Streamed(StreamingResponse):
    def __init__(self, source: _Source[Item], streams: Streams, media_type: str, resumable: bool) -> None:
        super().__init__(source, media_type=media_type)
        self._source = source
        self._streams = streams
        self._resumable = resumable

    async def stream_response(self, send: Send) -> None:
        complete = False
        try:
            with self._streams.cancellable() as scope:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for chunk in self._source:
                    if chunk:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    await asyncio.sleep(0)  # neither side need ever wait, and then nobody else would have a turn
                complete = True
        except (FarnodeError, EventsGone) as error:
            _log.warning("a stream was cut off: %s", error)
        finally:
            await self._source.close()
        if complete or (scope.cancelled_caught and self._resumable):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        # else the server closes the connection before the end of the body, and so the client knows
