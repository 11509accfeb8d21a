"""Streams over real WebSockets: Kubernetes' channels, and nobody read faster than the other."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from farnode.config.values import HostPort
from farnode.gateway.http import Server, channels, serve
from farnode.gateway.http.channels import status
from farnode.gateway.tls import ensure_certificate, server_context
from farnode.wire.link import WINDOW
from tests.gateway.http.service import CHUNK, Memory
from tests.gateway.http.test_http_server import settled

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def execute(
    server: Server, query: str, protocol: str = "v5.channel.k8s.io", path: str = "exec/main"
) -> AsyncIterator[ClientConnection]:
    async with unix_connect(
        server.address.removeprefix("unix:"),
        f"ws://gateway/v1/pods/p/{path}?{query}",
        subprotocols=[Subprotocol(protocol)],
        additional_headers={"authorization": "Bearer alice"},
        compression=None,
        max_queue=1,
    ) as websocket:
        assert websocket.subprotocol == protocol
        assert await websocket.recv() == b"\x01"
        yield websocket


async def result(websocket: ClientConnection) -> Any:
    data = await websocket.recv()
    assert isinstance(data, bytes)
    assert data[0] == 3
    with pytest.raises(ConnectionClosed) as closed:
        await websocket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000
    return json.loads(data[1:])


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_echo(server: Server, service: Memory, protocol: str) -> None:
    async with execute(server, "command=cat&stdin=true&tty=1&rows=24&cols=80", protocol) as websocket:
        await websocket.send(b"\x00hello")
        assert await websocket.recv() == b"\x01hello"
        await websocket.send("\x00text")
        assert await websocket.recv() == b"\x01text"
        await websocket.send(b"")
        await websocket.send(b"\xff\x00")
        assert (await result(websocket))["status"] == "Success"
    assert service.exec_options == [{"command": ["cat"], "stdin": True, "tty": True, "rows": 24, "cols": 80}]


async def test_the_exit_code_is_the_cause(server: Server) -> None:
    async with execute(server, "command=exit&command=7") as websocket:
        assert (await result(websocket))["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    async with execute(server, "command=fail") as websocket:
        assert (await result(websocket))["message"] == "Internal error occurred: no such command"


async def test_attach(server: Server, service: Memory) -> None:
    async with execute(server, "stdin=1&stderr=0&rows=24&cols=80", path="attach/main") as websocket:
        await websocket.send(b"\x00hello")
        assert await websocket.recv() == b"\x01hello"
        await websocket.send(b"\xff\x00")
        assert (await result(websocket))["status"] == "Success"
    assert service.attach_options == [{"stdin": True, "stdout": True, "stderr": False, "rows": 24, "cols": 80}]


async def test_each_direction_of_a_port_ends_by_itself(server: Server) -> None:
    async with execute(server, "", path="ports/80") as websocket:
        assert await websocket.recv() == b"\x01all I say"
        assert await websocket.recv() == b"\xff\x01"
        await websocket.send(b"\x00still read")
        await websocket.send(b"\xff\x00")
        assert (await result(websocket))["status"] == "Success"
    async with execute(server, "", path="ports/81") as websocket:
        assert (await result(websocket))["message"] == "Internal error occurred: no such command"


@pytest.mark.parametrize(
    ("path", "protocol", "words"),
    [
        ("attach/main?stdout=0&stderr=0", "v5.channel.k8s.io", b"nothing is wanted"),
        ("ports/80", "v4.channel.k8s.io", b"accepted: v5.channel.k8s.io"),
        ("ports/0", "v5.channel.k8s.io", b"port"),
        ("ports/65536", "v5.channel.k8s.io", b"port"),
    ],
)
async def test_what_cannot_be_is_refused_before_the_upgrade(
    server: Server, path: str, protocol: str, words: bytes
) -> None:
    address = f"ws://gateway/v1/pods/p/{path}"
    headers = {"authorization": "Bearer alice"}
    with pytest.raises(InvalidStatus) as refused:
        async with unix_connect(
            server.address.removeprefix("unix:"),
            address,
            subprotocols=[Subprotocol(protocol)],
            additional_headers=headers,
        ):
            raise AssertionError
    assert refused.value.response.status_code == 400
    assert words in (refused.value.response.body or b"")


def test_the_status_is_worded_as_by_the_kubelet() -> None:
    assert json.dumps(status({"exit_code": 7}), separators=(",", ":")) == (
        '{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 7",'
        '"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}'
    )
    assert status({})["message"].endswith("without a result")


async def test_resize(server: Server, service: Memory) -> None:
    async with execute(server, "command=size&tty=true") as websocket:
        for nonsense in (b"\x04{", b"\x04[]", b'\x04{"Width":0,"Height":1}', b"\x00dropped", b"\x09unknown"):
            await websocket.send(nonsense)
        await websocket.send(b'\x04{"Width":101,"Height":33}\n')
        assert await websocket.recv() == b"\x02seen"
    assert service.resized == [{"type": "resize", "rows": 33, "cols": 101}]


async def test_a_slow_reader_stops_the_runner(server: Server, service: Memory) -> None:
    async with execute(server, "command=yes") as websocket:
        assert await settled(service) * len(CHUNK) <= 3 * 1024 * 1024
        read = 0
        while read < 8 * 1024 * 1024:
            read += len(await websocket.recv())
        assert await settled(service) * len(CHUNK) <= read + 3 * 1024 * 1024
        websocket.transport.abort()
    await closed(service)


async def test_a_command_that_does_not_read_stops_the_client(server: Server, service: Memory) -> None:
    async with execute(server, "command=sleep&stdin=true") as websocket:
        assert WINDOW <= await stuffed(websocket) < WINDOW + 4 * 1024 * 1024
        websocket.transport.abort()


async def stuffed(websocket: ClientConnection) -> int:
    """Bytes that are sent until no more are taken."""
    sent = 0
    with suppress(TimeoutError):
        while True:
            await asyncio.wait_for(websocket.send(b"\x00" + CHUNK), 0.5)
            sent += len(CHUNK)
    return sent


@pytest.mark.parametrize(
    ("path", "query"), [("exec/main", "command=sleep&stdin=true"), ("attach/deaf", "stdin=true"), ("ports/82", "")]
)
async def test_the_client_leaves_behind_what_is_not_read(
    server: Server, service: Memory, monkeypatch: pytest.MonkeyPatch, path: str, query: str
) -> None:
    monkeypatch.setattr(channels, "_PROBED", 0.05)
    async with execute(server, query, path=path) as websocket:
        await stuffed(websocket)
        assert await websocket.recv() == b"\x01", "the probe"
        websocket.transport.abort()
    await left(service)


async def test_nor_is_one_overlooked_that_leaves_by_https(
    app: FastAPI, service: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_PROBED", 0.05)
    certificate = ensure_certificate(tmp_path, ["127.0.0.1"])
    server = await serve(app, HostPort("127.0.0.1", 0), server_context(certificate))
    try:
        async with connect(
            f"{server.address.replace('https', 'wss')}/v1/pods/p/exec/main?command=sleep&stdin=true",
            ssl=ssl.create_default_context(cadata=certificate.pem),
            subprotocols=[Subprotocol("v5.channel.k8s.io")],
            additional_headers={"authorization": "Bearer alice"},
            compression=None,
        ) as websocket:
            await stuffed(websocket)
            websocket.transport.abort()
        await left(service)
    finally:
        await server.stop()


async def left(service: Memory) -> None:
    """Until the runner was told to let go of the stream, of which it reads nothing."""
    async with asyncio.timeout(5):
        await service.opened[-1].closed()
    assert service.opened[-1].result == {"error": "the client has gone"}


async def test_the_client_leaves(server: Server, service: Memory) -> None:
    async with execute(server, "command=sleep"):
        pass
    await closed(service)


async def closed(service: Memory) -> None:
    """Until the runner's end of the stream was closed."""
    remote = service.opened[-1]
    async with asyncio.timeout(5):
        while await remote.receive() is not None:
            pass
    assert remote.result == {"error": "the client has gone"}


async def test_the_runner_is_lost(server: Server, service: Memory) -> None:
    async with execute(server, "command=sleep") as websocket:
        service.opened[-1]._link.close()
        assert (await result(websocket))["reason"] == "InternalError"


async def test_the_gateway_stops(server: Server) -> None:
    async with execute(server, "command=sleep") as websocket:
        await server.stop()
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
