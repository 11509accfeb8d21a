"""SpdyConnection: the streams of a client over one pipe.

SPDY as it is spoken here has no flow control. So a stream that nobody reads takes a bounded number of bytes, and then
the whole pipe waits for its reader; the client feels that as a full connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from farnode.node.kubelet import spdy
from farnode.node.kubelet.inbox import Inbox
from farnode.node.kubelet.pipes import Pipe

STREAMS = 1024
"""Open at once on a connection; more are refused."""
_CHUNK = 65536


class SpdyStream:
    """Bytes both ways, each way with an end of its own."""

    def __init__(self, number: int, headers: Mapping[str, str], pipe: Pipe) -> None:
        self.number = number
        self.headers = headers
        self.inbox = Inbox()
        self._pipe = pipe
        self._ended = False

    async def receive(self) -> bytes:
        """b"" when the client has ended its direction; ConnectionError when it has reset the stream, or has gone."""
        return await self.inbox.receive()

    async def send(self, payload: bytes) -> None:
        """ConnectionError when the client has reset the stream, or has gone."""
        view = memoryview(payload)
        for first in range(0, len(view), _CHUNK):
            await self._send(spdy.data(self.number, bytes(view[first : first + _CHUNK])))

    async def end(self) -> None:
        """Nothing more comes; harmless when repeated, and when nobody listens any more."""
        if not self.is_over:
            frame = spdy.data(self.number, b"", fin=True)
            self._ended = True
            await self._pipe.send(frame)

    @property
    def is_over(self) -> bool:
        """Nothing can be sent on it."""
        return self._ended or self.inbox.over.is_set()

    @property
    def is_done(self) -> bool:
        """Nothing can come either."""
        return self.inbox.over.is_set() or (self._ended and self.inbox.is_complete)

    async def _send(self, frame: bytes) -> None:
        if self.is_over:
            raise ConnectionResetError("the client has let go of the stream")
        await self._pipe.send(frame)


class SpdyConnection:
    """A client's streams, once `run` reads them."""

    def __init__(self, pipe: Pipe) -> None:
        self.over = asyncio.Event()
        """The client has said goodbye, or has gone."""
        self._pipe = pipe
        self._codec = spdy.Codec()
        self._streams: dict[int, SpdyStream] = {}
        self._last = 0
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue(STREAMS + 1)
        self._dropping = False

    async def run(self) -> None:
        """Until the client has gone or speaks no SPDY; then all streams are over."""
        try:
            while chunk := await self._pipe.receive():
                for frame in self._codec.receive(chunk):
                    await self._handle(frame)
        except (ConnectionError, spdy.SpdyError):
            pass  # whoever uses a stream learns that it is over
        finally:
            self._close()

    async def accept(self) -> SpdyStream | None:
        """The next stream that the client opens; None, once, when it has gone."""
        return await self._opened.get()

    async def refuse(self, stream: SpdyStream) -> None:
        self._forget(stream)
        with suppress(ConnectionError):
            await self._pipe.send(spdy.reset(stream.number, spdy.PROTOCOL_ERROR))

    async def ping(self) -> None:
        """The answer does not matter: to a client that is gone it cannot be sent for long."""
        await self._pipe.send(spdy.ping(2))

    def drop(self) -> None:
        """Reads on without keeping anything, so that the client's goodbye is heard."""
        self._dropping = True
        for stream in self._streams.values():
            stream.inbox.drop()

    async def _handle(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.SynStream():
                await self._open(frame)
            case spdy.Data(number, payload, fin):
                if (stream := self._streams.get(number)) is not None:
                    await stream.inbox.put(payload)
                    if fin:
                        stream.inbox.complete()
                        self._tidy(stream)
            case spdy.Reset(number):
                if (stream := self._streams.get(number)) is not None:
                    self._forget(stream)
            case spdy.Ping(number) if number % 2:
                await self._pipe.send(spdy.ping(number))
            case spdy.GoAway():
                self.over.set()

    async def _open(self, frame: spdy.SynStream) -> None:
        if frame.stream % 2 == 0 or frame.stream <= self._last:
            raise spdy.SpdyError(f"stream {frame.stream} cannot be opened after {self._last}")
        self._last = frame.stream
        for stream in list(self._streams.values()):
            self._tidy(stream)
        if self._dropping or len(self._streams) >= STREAMS or self._opened.full():
            await self._pipe.send(spdy.reset(frame.stream, spdy.REFUSED_STREAM))
            return
        stream = self._streams[frame.stream] = SpdyStream(frame.stream, frame.headers, self._pipe)
        if frame.fin:
            stream.inbox.complete()
        await self._pipe.send(self._codec.syn_reply(frame.stream))
        self._opened.put_nowait(stream)

    def _tidy(self, stream: SpdyStream) -> None:
        if stream.is_done:
            self._streams.pop(stream.number, None)

    def _forget(self, stream: SpdyStream) -> None:
        stream.inbox.close()
        self._streams.pop(stream.number, None)

    def _close(self) -> None:
        self.over.set()
        for stream in self._streams.values():
            stream.inbox.close()
        self._streams.clear()
        if self._opened.full():
            self._opened.get_nowait()
        self._opened.put_nowait(None)


@asynccontextmanager
async def connected(pipe: Pipe) -> AsyncIterator[SpdyConnection]:
    """A connection that is read while this is entered."""
    connection = SpdyConnection(pipe)
    reading = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        reading.cancel()
        await asyncio.wait({reading})
