"""However a session ends, its client is told, and nothing of it stays."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from farnode.node.kubelet import signs_of_life
from farnode.node.kubelet.spdy_peer import CLOSING
from tests.client.live import program, web
from tests.node.kubelet.serving import HANDSHAKE, PATIENCE, Json, Serving, serving, until
from tests.node.kubelet.spdy_client import upgraded
from tests.node.kubelet.test_exec_spdy import OFFERED, is_lost, opened
from tests.node.kubelet.test_exec_websocket import SLEEPER, V5, path, received
from tests.node.kubelet.test_port_forward import PROTOCOL, connection
from tests.sites import EmbeddedSite
from tests.testbed.kubernetes.authority import Authority

pytestmark = pytest.mark.anyio


async def test_a_lost_gateway_is_a_failure(kubelet: Serving, embedded_site: EmbeddedSite, tmp_path: Path) -> None:
    pod = await kubelet.running(program("cat", "cat", stdin=True))
    server = await kubelet.running(web("web", str(tmp_path)))
    port = int(await kubelet.printed(server))
    target = path(pod, "cat", input=1, output=1)
    async with (
        kubelet.http.ws_connect(target, protocols=[V5]) as socket,
        upgraded(kubelet, target, OFFERED) as (client, _, _writer),
        upgraded(kubelet, "/portForward/default/web", (PROTOCOL,)) as (forward, _, _other),
    ):
        streams = await opened(client, "error", "stdin", "stdout")
        error, data = await connection(forward, port, "0")
        await socket.send_bytes(b"\x00x")
        assert [await socket.receive_bytes() for _ in range(2)] == [b"\x01", b"\x01x"]
        embedded_site.kill()
        try:
            status = json.loads((await received(socket))[3])
            assert (status["status"], status["code"]) == ("Failure", 500)
            await client.over(*streams.values())
            assert json.loads(client.data[streams["error"]])["status"] == "Failure"
            await forward.over(error, data)
            assert b"error forwarding port" in forward.data[error]
            async with kubelet.http.get(target, headers=HANDSHAKE) as answer:
                assert (answer.status, "cannot reach" in await answer.text()) == (503, True)
        finally:
            embedded_site.start()


async def test_a_node_that_stops_says_so(embedded_site: EmbeddedSite, authority: Authority) -> None:
    async with serving(embedded_site, authority) as kubelet:
        pod = await kubelet.running(SLEEPER)
        target = path(pod, "cat", input=1, output=1)
        async with (
            kubelet.http.ws_connect(target, protocols=[V5]) as socket,
            upgraded(kubelet, target, OFFERED) as (client, _, _writer),
        ):
            streams = await opened(client, "error", "stdin", "stdout")
            stopping = asyncio.create_task(kubelet.server.streams.close())
            assert json.loads((await received(socket))[3])["message"].endswith("the node ended the session")
            await client.over(*streams.values())
            assert json.loads(client.data[streams["error"]])["message"].endswith("the node ended the session")
            await client.goodbye()
            await asyncio.wait_for(stopping, PATIENCE)


async def test_there_is_a_limit(embedded_site: EmbeddedSite, authority: Authority) -> None:
    async with serving(embedded_site, authority, streams=1) as kubelet:
        pod = await kubelet.running(SLEEPER)
        target = path(pod, "cat", input=1, output=1)
        async with kubelet.http.ws_connect(target, protocols=[V5]) as socket:
            for refused in (target, "/containerLogs/default/box/main", "/portForward/default/box?port=1"):
                async with kubelet.http.get(refused, headers=HANDSHAKE) as answer:
                    words = "this node has 1 logs and streams open, which is its limit: try again later"
                    assert (answer.status, await answer.text()) == (503, words)
            await socket.send_bytes(b"\xff\x00")
            assert json.loads((await received(socket))[3])["status"] == "Success"


async def test_a_client_that_left_while_it_was_not_read(kubelet: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command reads no input, so nothing is read of the client either, its leaving included."""
    monkeypatch.setattr(signs_of_life, "INTERVAL", 0.1)
    pod = await kubelet.running(SLEEPER)
    target = path(pod, "sleep", "1000", input=1, output=1)
    async with upgraded(kubelet, target, OFFERED) as (client, _, writer):
        streams = await opened(client, "error", "stdin", "stdout")
        await stuck(lambda: client.send(streams["stdin"], bytes(65536)))
        writer.transport.abort()
    async with aiohttp.ClientSession(kubelet.url, connector=aiohttp.TCPConnector(ssl=kubelet.tls)) as http:
        socket = await http.ws_connect(target, protocols=[V5])
        await stuck(lambda: socket.send_bytes(bytes(65536)))
        socket.get_extra_info("socket").shutdown(2)
        await until(lambda: is_idle(kubelet), "both sessions end")


async def stuck(send: Callable[[], Awaitable[None]]) -> None:
    """Returns when the other side takes no more."""
    while True:
        try:
            await asyncio.wait_for(send(), 1.0)
        except TimeoutError:
            return


async def is_idle(kubelet: Serving) -> bool:
    return not kubelet.server.streams


WRITER = """
import os, sys
for block in range(1, 1025):
    os.write(1, bytes(65536))
    open(sys.argv[1], "w").write(str(block))
"""


@pytest.mark.parametrize("way", ["websocket", "spdy"])
async def test_a_client_that_does_not_read_holds_its_command_up(kubelet: Serving, tmp_path: Path, way: str) -> None:
    pod = await kubelet.running(SLEEPER)
    progress = tmp_path / "blocks"
    target = path(pod, "python3", "-c", WRITER, str(progress), output=1)

    async def stands() -> bool:
        before = progress.read_text() if progress.exists() else ""
        await asyncio.sleep(0.5)
        return before != "" and before == progress.read_text()

    if way == "websocket":
        async with kubelet.http.ws_connect(target, protocols=[V5]) as socket:
            await until(stands, "the command waits")
            assert int(progress.read_text()) * 65536 < 2**25
            assert len((await received(socket))[1]) == 2**26
    else:
        async with upgraded(kubelet, target, OFFERED) as (client, _, writer):
            streams = await opened(client, "error", "stdout")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(stands, "the command waits")
            assert int(progress.read_text()) * 65536 < 2**25
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            await client.over(*streams.values())
            assert len(client.data[streams["stdout"]]) == 2**26


def held() -> tuple[int, int]:
    """Descriptors and tasks of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())  # noqa: PTH208


async def test_a_hundred_sessions_leave_nothing(kubelet: Serving, tmp_path: Path) -> None:
    pod = await kubelet.running(SLEEPER)
    server = await kubelet.running(web("web", str(tmp_path)))
    port = int(await kubelet.printed(server))

    async def round_of_all(number: int) -> None:
        await _websocket(kubelet, pod, leaves=bool(number % 2))
        await _spdy(kubelet, pod, leaves=bool(number % 2))
        await _forward(kubelet, port, leaves=bool(number % 2))
        async with kubelet.http.get("/containerLogs/default/web/main?follow=true") as answer:
            await answer.content.readany()
            answer.close()

    async def settled() -> bool:
        return not kubelet.server.streams and all(now <= then for now, then in zip(held(), before, strict=True))

    for number in range(2):
        await round_of_all(number)
    await until(lambda: is_idle(kubelet), "the first sessions end")
    before = held()
    for number in range(26):
        await round_of_all(number)
    await until(settled, f"what is held returns to {before}: {held()}")


async def _websocket(kubelet: Serving, pod: Json, leaves: bool) -> None:
    async with kubelet.http.ws_connect(path(pod, "cat", input=1, output=1), protocols=[V5]) as socket:
        await socket.send_bytes(b"\x00x")
        assert [await socket.receive_bytes() for _ in range(2)] == [b"\x01", b"\x01x"]
        if leaves:
            return
        await socket.send_bytes(b"\xff\x00")
        assert json.loads((await received(socket))[3])["status"] == "Success"


async def _spdy(kubelet: Serving, pod: Json, leaves: bool) -> None:
    async with upgraded(kubelet, path(pod, "cat", input=1, output=1), OFFERED) as (client, _, writer):
        streams = await opened(client, "error", "stdin", "stdout")
        if leaves:
            writer.transport.abort()
            return
        await client.send(streams["stdin"], b"x", fin=True)
        await client.over(*streams.values())
        await client.goodbye()
        await until(lambda: is_lost(client), "the server closes the connection")


async def _forward(kubelet: Serving, port: int, leaves: bool) -> None:
    async with upgraded(kubelet, "/portForward/default/web", (PROTOCOL,)) as (client, _, writer):
        error, data = await connection(client, port, "0")
        if leaves:
            writer.transport.abort()
            return
        await client.send(data, b"GET / HTTP/1.0\r\n\r\n", fin=True)
        await client.over(error, data)


async def test_a_client_without_manners_is_not_waited_for(kubelet: Serving) -> None:
    """It opens not all of its streams, or never says goodbye."""
    pod = await kubelet.running(SLEEPER)
    async with upgraded(kubelet, path(pod, "true", output=1), OFFERED) as (client, _, _writer):
        streams = await opened(client, "error", "stdout")
        await client.over(*streams.values())
        async with asyncio.timeout(CLOSING * 6):
            await until(lambda: is_lost(client), "the server closes the connection")


async def test_a_client_that_only_connects(kubelet: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.server.port, ssl=kubelet.tls)
    writer.write(b"\x16\x03 what is this\r\n\r\n")
    assert b"400" in await reader.readline()
    writer.close()
    with pytest.raises(aiohttp.ClientError):
        await kubelet.http.get(kubelet.url.replace("https", "http"))
