"""One connection between a gateway and a runner: messages, and streams whose sender waits for credit.

Both sides use this class. A stream's sender may be at most `WINDOW` bytes ahead of its reader, so a slow client of a
log costs the gateway one window of memory, however long the log. A lost connection closes its streams and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable
from typing import Any, Callable, NamedTuple

from .frames import CREDIT, Channel, Decoder, Frame, Kind, ProtocolError, decode_message, encode, encode_message

WINDOW = 256 * 1024
"""Bytes of a stream under way at once, each direction."""
CHUNK = 64 * 1024
LOST = "the connection was lost"
"""The error in the result of a stream that ended with its connection; nobody knows what became of its other side."""


class StreamClosed(Exception):
    """The other side, or the connection, ended the stream."""


class Data(NamedTuple):
    channel: int
    data: bytes


class Stream:
    """One byte stream with channels. `receive` yields `Data` and messages (dicts), then None for ever."""

    def __init__(self, link: Link, number: int) -> None:
        self.number = number
        self.result: dict[str, Any] = {}
        self._link = link
        self._incoming: deque[Data | dict[str, Any]] = deque()
        self._credit = WINDOW
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """The other side takes no more for now."""
        return self._credit <= 0 and not self._closed

    async def send(self, channel: Channel, data: bytes) -> None:
        view = memoryview(data)
        while view:
            while self.is_full:
                await self._wait()
            if self._closed:
                raise StreamClosed
            piece = view[: min(self._credit, CHUNK)]
            self._credit -= len(piece)
            view = view[len(piece) :]
            await self._link.write(encode(Kind.DATA, self.number, bytes((channel,)) + piece))

    async def message(self, **fields: Any) -> None:
        if self._closed:
            raise StreamClosed
        await self._link.write(encode_message(fields, self.number))

    async def eof(self, channel: Channel) -> None:
        await self.message(type="eof", channel=int(channel))

    async def receive(self) -> Data | dict[str, Any] | None:
        while not self._incoming and not self._closed:
            await self._wait()
        if not self._incoming:
            return None
        item = self._incoming.popleft()
        if isinstance(item, Data) and not self._closed:
            with contextlib.suppress(OSError):  # the connection is gone: what came over it is here all the same
                await self._link.write(encode(Kind.CREDIT, self.number, CREDIT.pack(len(item.data))))
        return item

    async def close(self, **result: Any) -> None:
        """End the stream; idempotent. `result` is what the other side finds in its `result`."""
        if not self._closed:
            self._end(result)
            await self._link.write(encode_message({"type": "close", **result}, self.number))

    async def closed(self) -> None:
        """Return when either side, or the connection, has ended it."""
        while not self._closed:
            await self._wait()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _end(self, result: dict[str, Any]) -> None:
        self._closed = True
        self.result = result
        self._link.streams.pop(self.number, None)
        self._changed.set()

    def _feed(self, frame: Frame) -> None:
        if frame.kind is Kind.CREDIT:
            self._credit += CREDIT.unpack(frame.payload)[0]
        elif frame.kind is Kind.DATA:
            self._incoming.append(Data(frame.payload[0], frame.payload[1:]))
        else:
            message = decode_message(frame.payload)
            if message.pop("type") == "close":
                self._end(message)
            else:
                self._incoming.append(decode_message(frame.payload))
        self._changed.set()


class Link:
    """A connection whose `run` hands over control messages until it ends, and feeds the streams meanwhile."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decode: Callable[[bytes], dict[str, Any]] = decode_message,
    ) -> None:
        """`decode` reads control messages; it may be one that is not of the standard library."""
        self.streams: dict[int, Stream] = {}
        self._reader = reader
        self._writer = writer
        self._decode = decode
        self._next = 1

    async def write(self, data: bytes) -> None:
        """Raises OSError when the connection is gone."""
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()

    async def send(self, message: Any) -> None:
        await self.write(encode_message(message))

    async def leave(self, message: Any) -> None:
        """Send a last message, and return when the connection is closed after it. Raises OSError."""
        self._writer.write(encode_message(message))
        self.close()
        await self._writer.wait_closed()

    async def open(self, **fields: Any) -> Stream:
        """Open a stream to the other side; `fields` are those of messages.Open."""
        number, self._next = self._next, self._next + 1
        stream = self.accept(number)
        await self.send({"type": "open", "stream": number, **fields})
        return stream

    def accept(self, number: int) -> Stream:
        stream = self.streams[number] = Stream(self, number)
        return stream

    async def run(self, on_message: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Read until the other side or `close` ends the connection; ProtocolError when it sends nonsense."""
        decoder = Decoder()
        try:
            while True:
                data = await self._reader.read(CHUNK)
                if not data:
                    return
                for frame in decoder.feed(data):
                    if frame.stream:
                        self._dispatch(frame)
                    elif frame.kind is Kind.MESSAGE:
                        await on_message(self._decode(frame.payload))
                    else:
                        raise ProtocolError("data outside a stream")
        except OSError:
            return
        finally:
            self.close()

    def close(self) -> None:
        self._writer.close()
        for stream in list(self.streams.values()):
            stream._end({"error": LOST})

    def _dispatch(self, frame: Frame) -> None:
        stream = self.streams.get(frame.stream)
        if stream is not None:  # else: it was closed here while the frame was under way
            stream._feed(frame)
