"""The other end of SPDY/3.1: what the API server and kubectl do, written with the codec."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp

from farnode.node.kubelet import spdy
from tests.node.kubelet.serving import PATIENCE, Serving


class Wire(Protocol):
    async def read(self) -> bytes:
        """b"" at its end."""

    async def write(self, data: bytes) -> None: ...


class Refused(Exception):
    """The upgrade was answered with something else: status and body."""


class SpdyClient:
    """Streams are numbered as they are opened: 1, 3, 5 …"""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._codec = spdy.Codec()
        self._next = 1
        self._news = asyncio.Condition()
        self.replies: set[int] = set()
        self.data: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.pongs: list[int] = []
        self.lost = False

    async def open(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        number, self._next = self._next, self._next + 2
        await self._wire.write(self._codec.syn_stream(number, headers, fin=fin))
        await self.until(lambda: number in self.replies or number in self.reset, f"stream {number} is answered")
        return number

    async def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        await self._wire.write(spdy.data(stream, data, fin=fin))

    async def write(self, frames: bytes) -> None:
        await self._wire.write(frames)

    async def until(self, condition: object, what: str) -> None:
        assert callable(condition)
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: condition() or self.lost)
        except TimeoutError:
            raise AssertionError(f"waited in vain: {what}; {dict(self.data)!r:.500} {self.ended}") from None
        assert condition(), f"the connection ended before: {what}; {dict(self.data)!r:.500} {self.ended}"

    async def over(self, *streams: int) -> None:
        """All of them were ended by the server."""
        await self.until(lambda: self.ended.issuperset(streams), f"streams {streams} end")

    async def goodbye(self) -> None:
        for stream in range(1, self._next, 2):
            await self._wire.write(spdy.reset(stream, spdy.CANCEL))
        await self._wire.write(spdy.go_away(0))

    async def run(self) -> None:
        try:
            while received := await self._wire.read():
                for frame in self._codec.receive(received):
                    await self._take(frame)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.lost = True
            async with self._news:
                self._news.notify_all()

    async def _take(self, frame: spdy.Frame) -> None:
        async with self._news:
            match frame:
                case spdy.SynReply(stream):
                    self.replies.add(stream)
                case spdy.Data(stream, data, fin):
                    assert stream not in self.ended, "data after the end"
                    self.data[stream] += data
                    if fin:
                        self.ended.add(stream)
                case spdy.Reset(stream, status):
                    self.reset[stream] = status
                case spdy.Ping(number) if number % 2:
                    self.pongs.append(number)
                case spdy.Ping(number):
                    await self._wire.write(spdy.ping(number))
            self._news.notify_all()


class _Raw:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(65536)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class _Tunnel:
    """Cuts as kubectl does: the head of a frame in pieces, and an empty message now and then."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while (message := await self._socket.receive()).type is aiohttp.WSMsgType.BINARY:
            if message.data:
                return bytes(message.data)
        return b""

    async def write(self, data: bytes) -> None:
        for piece in (data[:2], data[2:4], b"", data[4:8], data[8:]):
            await self._socket.send_bytes(piece)


@asynccontextmanager
async def upgraded(
    kubelet: Serving, path: str, protocols: tuple[str, ...], *, upgrade: str = "SPDY/3.1"
) -> AsyncIterator[tuple[SpdyClient, str, asyncio.StreamWriter]]:
    """A POST that is upgraded: the client, the protocol that was chosen, and the connection's writer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.server.port, ssl=kubelet.tls)
    try:
        offered = "".join(f"X-Stream-Protocol-Version: {name}\r\n" for name in protocols)
        head = f"POST {path} HTTP/1.1\r\nHost: kubelet\r\nContent-Length: 0\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Upgrade: {upgrade}\r\n{offered}\r\n".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if " 101 " not in answer.split("\r\n")[0]:
            length = int(answer.split("content-length: ")[1].split("\r\n")[0])
            raise Refused(int(answer.split(" ")[1]), (await reader.readexactly(length)).decode())
        lines = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if line)
        assert lines["upgrade"] == "spdy/3.1"
        assert lines["connection"] == "upgrade"
        client = SpdyClient(_Raw(reader, writer))
        async with _reading(client):
            yield client, lines.get("x-stream-protocol-version", ""), writer
    finally:
        writer.close()


@asynccontextmanager
async def tunnelled(kubelet: Serving, path: str) -> AsyncIterator[SpdyClient]:
    """As kubectl port-forward where the node declares ExtendWebSocketsToKubelet."""
    protocol = "SPDY/3.1+portforward.k8s.io"
    async with kubelet.http.ws_connect(path, protocols=[protocol], compress=15) as socket:
        assert socket.protocol == protocol
        client = SpdyClient(_Tunnel(socket))
        async with _reading(client):
            yield client


@asynccontextmanager
async def _reading(client: SpdyClient) -> AsyncIterator[None]:
    task = asyncio.create_task(client.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
