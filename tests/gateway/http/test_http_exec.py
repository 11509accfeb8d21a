"""exec over a real WebSocket to a real stream: Kubernetes' channels, and nobody read faster than the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from farnode.gateway.http import Server
from farnode.gateway.http.channels import status
from farnode.wire.link import WINDOW
from tests.gateway.http.service import CHUNK, Memory
from tests.gateway.http.test_http_server import settled

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def execute(server: Server, query: str, protocol: str = "v5.channel.k8s.io") -> AsyncIterator[ClientConnection]:
    async with unix_connect(
        server.address.removeprefix("unix:"),
        f"ws://gateway/v1/pods/p/exec/main?{query}",
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
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                await websocket.send(b"\x00" + CHUNK)
                sent += len(CHUNK)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send(), 1)
        assert WINDOW <= sent < WINDOW + 4 * 1024 * 1024
        websocket.transport.abort()


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
