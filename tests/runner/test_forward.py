"""Streams of kind port: to a listener of the pod's own, byte for byte, each direction for itself."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from pathlib import Path
from typing import Any

from farnode.wire.frames import Channel
from farnode.wire.link import Data, Stream

from .gateway import PATIENCE, FakeGateway, everything, order
from .test_runner import Process, play, printed

SERVER = """
import asyncio, hashlib, sys

async def serve(reader, writer):
    what = (await reader.readline()).split()
    if what[0] == b"echo":
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    elif what[0] == b"send":
        for _ in range(int(what[1])):
            writer.write(bytes(range(256)) * 4096)
            await writer.drain()
    elif what[0] == b"sum":
        writer.write(b"ready\\n")
        writer.write_eof()
        total = hashlib.sha256()
        while data := await reader.read(65536):
            total.update(data)
        print(total.hexdigest(), flush=True)
    writer.close()

async def main():
    server = await asyncio.start_server(serve, sys.argv[1], 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
MIB = bytes(range(256)) * 4096


async def listening(gateway: FakeGateway, host: str = "127.0.0.1") -> int:
    await gateway.start(order(sys.executable, "-c", SERVER, host))
    return int((await printed(gateway, b"\n")).split()[1])


async def received(stream: Stream) -> tuple[int, str]:
    """Size and sum of what comes until the other side ends its direction, or the stream."""
    size, total = 0, hashlib.sha256()
    async with asyncio.timeout(PATIENCE):
        while isinstance(item := await stream.receive(), Data):
            size += len(item.data)
            total.update(item.data)
    return size, total.hexdigest()


def test_bytes_and_both_ends(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        port = await listening(gateway)
        echo = await gateway.open("port", "", port=port)
        receiving = asyncio.create_task(everything(echo))
        await echo.send(Channel.STDIN, b"echo\n" + MIB)
        await echo.eof(Channel.STDIN)
        assert await receiving == MIB
        assert echo.result == {"exit_code": 0}
        one_way = await gateway.open("port", "", port=port)
        await one_way.send(Channel.STDIN, b"sum\n")
        assert (await received(one_way))[0] == len(b"ready\n")  # it will say no more, and goes on to listen
        await one_way.send(Channel.STDIN, MIB)
        await one_way.eof(Channel.STDIN)
        await everything(one_way)
        assert one_way.result == {"exit_code": 0}
        await printed(gateway, hashlib.sha256(MIB).hexdigest().encode())

    play(tmp_path, scenario)


def test_many_at_once_under_load(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        port = await listening(gateway)
        slow = await gateway.open("port", "", port=port)
        await slow.send(Channel.STDIN, b"send 1000\n")  # and nobody reads it
        streams = [await gateway.open("port", "", port=port) for _ in range(16)]
        for stream in streams:
            await stream.send(Channel.STDIN, b"send 4\n")
        expected = (4 * len(MIB), hashlib.sha256(4 * MIB).hexdigest())
        assert await asyncio.gather(*(received(stream) for stream in streams)) == [expected] * 16
        await slow.close()
        await asyncio.gather(*(stream.close() for stream in streams))

    play(tmp_path, scenario)


def test_ipv6_is_found(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        stream = await gateway.open("port", "", port=await listening(gateway, "::1"))
        await stream.send(Channel.STDIN, b"echo\nhello")
        await stream.eof(Channel.STDIN)
        assert await everything(stream) == b"hello"

    play(tmp_path, scenario)


def test_nobody_but_the_pod_is_reached(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await listening(gateway)
        with socket.create_server(("127.0.0.1", 0)) as others:
            port = others.getsockname()[1]
            stream = await gateway.open("port", "", port=port)
            await everything(stream)
        words = f"error forwarding port {port} to pod pod, uid u1: no process of the pod listens there"
        assert stream.result == {"error": words}

    play(tmp_path, scenario)


def test_a_connection_ends_with_its_pod(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        stream = await gateway.open("port", "", port=await listening(gateway))
        await stream.send(Channel.STDIN, b"echo\nhello")
        item: Any = await stream.receive()
        assert item.data == b"hello"
        await gateway.send(type="stop", uid="u1", attempt=1, grace=0)
        await gateway.ended()
        assert (await received(stream))[0] == 0
        await stream.close()

    play(tmp_path, scenario)
