"""Port-forward by SPDY/3.1, by the same in a WebSocket, and by the channels of Python's client."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from farnode.node.kubelet import spdy
from tests.client.live import program, web
from tests.node.kubelet.serving import PATIENCE, Json, Serving
from tests.node.kubelet.spdy_client import Refused, SpdyClient, tunnelled, upgraded

pytestmark = pytest.mark.anyio

PROTOCOL = "portforward.k8s.io"
BIG = bytes(range(256)) * 32768
ECHO = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def serve(peer):
    with peer:
        whole = b""
        while data := peer.recv(65536):
            whole += data
        peer.sendall(b"%d bytes" % len(whole))
while True:
    threading.Thread(target=serve, args=[server.accept()[0]]).start()
"""


@pytest.fixture(params=["spdy", "tunnel"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def forwarded(kubelet: Serving, pod: Json, way: str) -> AbstractAsyncContextManager[SpdyClient]:
    path = f"/portForward/default/{pod['metadata']['name']}"
    return tunnelled(kubelet, path) if way == "tunnel" else _spdy(kubelet, path)


@asynccontextmanager
async def _spdy(kubelet: Serving, path: str) -> AsyncIterator[SpdyClient]:
    async with upgraded(kubelet, path, (PROTOCOL,)) as (client, protocol, _):
        assert protocol == PROTOCOL
        yield client


async def connection(client: SpdyClient, port: int | str, request: str) -> tuple[int, int]:
    """Error and data stream, opened as kubectl does."""
    headers = {"port": str(port), "requestid": request}
    error = await client.open({"streamtype": "error", **headers})
    await client.send(error, b"", fin=True)
    return error, await client.open({"streamtype": "data", **headers})


async def served(kubelet: Serving, directory: Path) -> tuple[Json, int]:
    (directory / "big").write_bytes(BIG)
    (directory / "hello").write_text("hello from the pod\n")
    pod = await kubelet.running(web("web", str(directory)))
    return pod, int(await kubelet.printed(pod))


async def test_many_connections_at_once(kubelet: Serving, tmp_path: Path, way: str) -> None:
    pod, port = await served(kubelet, tmp_path)
    async with forwarded(kubelet, pod, way) as client:
        pairs = [await connection(client, port, str(number)) for number in range(6)]
        for _, data in pairs:
            await client.send(data, b"GET /big HTTP/1.0\r\n\r\n")
        await client.over(*(stream for _, data in pairs for stream in (data,)))
        for error, data in pairs:
            assert client.data[data].partition(b"\r\n\r\n")[2] == BIG
            assert error not in client.ended
            await client.write(spdy.reset(data, spdy.CANCEL))  # as kubectl does when the pod sends no more
            await client.over(error)
            assert client.data[error] == b""


async def test_each_direction_ends_by_itself(kubelet: Serving, way: str) -> None:
    pod = await kubelet.running(program("echo", "python3", "-c", ECHO))
    port = int(await kubelet.printed(pod))
    async with forwarded(kubelet, pod, way) as client:
        error, data = await connection(client, port, "0")
        for _ in range(30):
            await client.send(data, b"x" * 40_000)
        await client.send(data, b"", fin=True)
        await client.over(error, data)
        assert client.data[data] == b"1200000 bytes"
        assert client.data[error] == b""


async def test_a_port_nobody_listens_at(kubelet: Serving, way: str) -> None:
    pod = await kubelet.running(program("box", "sleep", "1000"))
    async with forwarded(kubelet, pod, way) as client:
        error, data = await connection(client, 9, "0")
        await client.send(data, b"hello")
        await client.over(error, data)
        uid = pod["metadata"]["uid"]
        said = f"error forwarding port 9 to pod box, uid {uid}: no process of the pod listens there"
        assert client.data[error].decode() == said
        assert client.data[data] == b""


async def test_streams_that_make_no_connection(kubelet: Serving, way: str) -> None:
    pod = await kubelet.running(program("box", "sleep", "1000"))
    async with forwarded(kubelet, pod, way) as client:
        for headers in (
            {"streamtype": "data"},
            {"streamtype": "data", "port": "70000", "requestid": "1"},
            {"streamtype": "data", "port": "-1", "requestid": "1"},
            {"streamtype": "stdin", "port": "80", "requestid": "1"},
        ):
            stream = await client.open(headers)
            await client.until(lambda stream=stream: stream in client.reset, "it is refused")
        first = await client.open({"streamtype": "data", "port": "9", "requestid": "1"})
        again = await client.open({"streamtype": "data", "port": "9", "requestid": "1"})
        await client.until(lambda: again in client.reset, "it is refused")
        error = await client.open({"streamtype": "error", "port": "9", "requestid": "1"}, fin=True)
        await client.over(first, error)


async def test_the_first_clients_sent_no_request_ids(kubelet: Serving, tmp_path: Path) -> None:
    pod, port = await served(kubelet, tmp_path)
    async with forwarded(kubelet, pod, "spdy") as client:
        await client.open({"streamtype": "error", "port": str(port)})
        data = await client.open({"streamtype": "data", "port": str(port)})
        await client.send(data, b"GET /hello HTTP/1.0\r\n\r\n")
        await client.over(data)
        assert client.data[data].endswith(b"hello from the pod\n")


async def received(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytearray]:
    channels: dict[int, bytearray] = {}
    async with asyncio.timeout(PATIENCE):
        async for message in socket:
            channels.setdefault(message.data[0], bytearray()).extend(message.data[1:])
    assert socket.close_code == 1000
    return channels


async def test_channels_of_a_websocket(kubelet: Serving, tmp_path: Path) -> None:
    _, port = await served(kubelet, tmp_path)
    offered = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
    target = f"/portForward/default/web?port={port},9"
    async with kubelet.http.ws_connect(target, protocols=offered) as socket:
        assert socket.protocol == "v4.channel.k8s.io"
        await socket.send_bytes(b"\x00GET /big HTTP/1.0\r\n\r\n")
        await socket.send_bytes(b"\x01nobody reads an error channel")
        await socket.send_bytes(b"\x63nor one of no port")
        channels = await received(socket)
    number = struct.pack("<H", port)
    assert channels[0].startswith(number + b"HTTP/1.0 200 OK")
    assert channels[0].endswith(BIG)
    assert channels[1] == number
    assert channels[2] == struct.pack("<H", 9)
    assert b"no process of the pod listens there" in channels[3]


async def test_channels_that_end_by_themselves(kubelet: Serving) -> None:
    pod = await kubelet.running(program("echo", "python3", "-c", ECHO))
    port = int(await kubelet.printed(pod))
    target = f"/portForward/default/echo?port={port}"
    async with kubelet.http.ws_connect(target, protocols=["v5.channel.k8s.io"]) as socket:
        await socket.send_bytes(b"\x00" + b"x" * 500)
        await socket.send_bytes(b"\xff\x00")
        assert (await received(socket))[0][2:] == b"500 bytes"


async def test_refusals(kubelet: Serving) -> None:
    await kubelet.running(program("box", "sleep", "1000"))
    for target, words in (
        ("/portForward/default/box", 'query parameter "port" is required'),
        ("/portForward/default/box?port=http", "port: is 'http'; accepted: at most 64 numbers from 1 to 65535"),
    ):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        async with kubelet.http.get(target, headers=headers) as answer:
            assert (answer.status, await answer.text()) == (400, words)
    with pytest.raises(Refused, match="404"):
        async with upgraded(kubelet, "/portForward/default/none", (PROTOCOL,)):
            raise AssertionError
