"""The real server on a unix socket: who can open it, streams with back-pressure, and how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from farnode.config.values import HostPort, UnixSocket
from farnode.errors import Invalid
from farnode.gateway.http import Server, serve, streaming
from farnode.gateway.tls import ensure_certificate, fingerprint, server_context
from tests.gateway.http.service import CHUNK, Memory

pytestmark = pytest.mark.anyio
AHEAD = 2 * 1024 * 1024 // len(CHUNK)
"""Chunks a producer may be ahead of a reader that reads nothing."""


async def settled(service: Memory) -> int:
    """What was produced once nothing more is: the event loop is idle when the same count is seen over many turns."""
    calm, seen = 0, -1
    while calm < 2000:
        await asyncio.sleep(0)
        calm, seen = (calm + 1, seen) if service.produced == seen else (0, service.produced)
    return seen


async def test_the_socket_is_private(server: Server) -> None:
    path = server.address.removeprefix("unix:")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700  # noqa: PTH116, PTH120


async def test_a_stale_socket_is_replaced_and_a_live_one_is_not(app: FastAPI, tmp_path: Path) -> None:
    path = tmp_path / "g.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = await serve(app, UnixSocket(path))
    with pytest.raises(Invalid, match="served by another process"):
        await serve(app, UnixSocket(path))
    assert server.address == f"unix:{path}"
    await server.stop()
    assert not path.exists()


async def test_an_address_that_is_taken(app: FastAPI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Invalid, match="cannot be had"):
        await serve(app, HostPort("127.0.0.1", taken.getsockname()[1]))


async def test_https_shows_the_pinned_certificate(app: FastAPI, tmp_path: Path) -> None:
    certificate = ensure_certificate(tmp_path, ["127.0.0.1"])
    server = await serve(app, HostPort("127.0.0.1", 0), server_context(certificate))
    trust = ssl.create_default_context(cadata=certificate.pem)
    async with (
        httpx.AsyncClient(verify=trust) as http,
        http.stream("GET", server.address + "/healthz") as response,
    ):
        der = response.extensions["network_stream"].get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert (response.status_code, fingerprint(der)) == (200, certificate.fingerprint)
    await server.stop()


async def read_slowly(http: httpx.AsyncClient, service: Memory) -> None:
    async with http.stream("GET", "/v1/pods/p/logs/endless?follow=true") as response:
        assert response.status_code == 200
        assert await settled(service) <= AHEAD
        read = 0
        async for data in response.aiter_raw():
            read += len(data)
            if read > 10 * AHEAD * len(CHUNK):
                break
        assert await settled(service) <= read // len(CHUNK) + AHEAD


async def test_a_log_does_not_run_ahead_of_its_reader(remote: httpx.AsyncClient, service: Memory) -> None:
    await read_slowly(remote, service)


async def test_nor_does_one_over_https(app: FastAPI, service: Memory, tmp_path: Path) -> None:
    certificate = ensure_certificate(tmp_path, ["127.0.0.1"])
    server = await serve(app, HostPort("127.0.0.1", 0), server_context(certificate))
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)]  # what the client's kernel takes is not the server's
    trust = ssl.create_default_context(cadata=certificate.pem)
    transport = httpx.AsyncHTTPTransport(verify=trust, socket_options=small)
    headers = {"authorization": "Bearer alice"}
    try:
        async with httpx.AsyncClient(base_url=server.address, transport=transport, headers=headers, timeout=20) as http:
            await read_slowly(http, service)
    finally:
        await server.stop()


async def test_events_arrive_at_once(remote: httpx.AsyncClient, service: Memory) -> None:
    async with remote.stream("GET", "/v1/events") as response:
        lines = response.aiter_lines()
        assert json.loads(await anext(lines))["type"] == "heartbeat"
        await remote.post("/v1/pods", json={"bundles": [{"uid": "new"}]})
        assert json.loads(await anext(lines)) == {"seq": 1, "type": "pod", "uid": "p", "pod": {"uid": "p"}}
    async with asyncio.timeout(5):
        await service.unwatched.wait()


async def test_a_silent_log_has_headers(
    remote: httpx.AsyncClient, service: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "FIRST_STEP", 0.05)
    service.log = []
    async with remote.stream("GET", "/v1/pods/p/logs/silent?follow=true") as response:
        assert response.status_code == 200
        service.changed.set()
        assert await response.aread() == b""


async def test_a_log_cut_short_is_not_taken_for_complete(remote: httpx.AsyncClient) -> None:
    async with remote.stream("GET", "/v1/pods/p/logs/broken") as response:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            await response.aread()


async def test_stopping_ends_watchers_in_order_and_cuts_logs_off(app: FastAPI, tmp_path: Path, service: Memory) -> None:
    server = await serve(app, UnixSocket(tmp_path / "g.sock"))
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "g.sock"))
    alice = {"authorization": "Bearer alice"}
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://g", headers=alice) as http,
        http.stream("GET", "/v1/events") as events,
        http.stream("GET", "/v1/pods/p/logs/silent") as log,
    ):
        async with asyncio.timeout(3):
            await server.stop()
        assert (await events.aread()).count(b"\n") == 1
        with pytest.raises(httpx.RemoteProtocolError):
            await log.aread()
    assert service.unwatched.is_set()


async def test_a_reader_that_leaves_ends_the_log(remote: httpx.AsyncClient, service: Memory) -> None:
    ended = asyncio.Event()

    async def logs(*_: object) -> AsyncIterator[bytes]:
        try:
            while True:
                yield CHUNK
        finally:
            ended.set()

    service.logs = logs  # type: ignore[method-assign, assignment]
    async with remote.stream("GET", "/v1/pods/p/logs/main"):
        pass
    async with asyncio.timeout(5):
        await ended.wait()


async def test_exec_is_refused_with_a_status(server: Server) -> None:
    """As JSON, before the upgrade."""
    for query, token, status in [
        ("p/exec/main?command=cat", "none", 401),
        ("q/exec/main?command=cat", "alice", 404),
        ("p/exec/main", "alice", 400),
        ("p/exec/main?command=cat&rows=0", "alice", 400),
    ]:
        answer = await upgrade(server, query, token, "v5.channel.k8s.io")
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer
        assert b'{"error": {"code": ' in answer
    answer = await upgrade(server, "p/exec/main?command=cat", "alice", "v1.channel.k8s.io")
    assert answer.startswith(b"HTTP/1.1 400 ")


async def upgrade(server: Server, query: str, token: str, protocol: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(server.address.removeprefix("unix:"))
    writer.write(
        f"GET /v1/pods/{query} HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: {protocol}\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: gwtA8/RZn+ubZMcBBSrEQg==\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
