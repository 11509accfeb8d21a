from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from farnode.config.values import UnixSocket
from farnode.gateway.http import Server, create_app, serve
from tests.gateway.http.service import Authenticator, Memory


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def service() -> AsyncIterator[Memory]:
    memory = Memory()
    memory.owners["p"] = "alice"
    yield memory
    await memory.close()


@pytest.fixture
def app(service: Memory) -> FastAPI:
    return create_app(service, Authenticator(), max_body=4096, clock=lambda: 1000.0)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers={"authorization": "Bearer alice"}
    ) as http:
        yield http


@pytest.fixture
async def server(app: FastAPI, tmp_path: Path) -> AsyncIterator[Server]:
    running = await serve(app, UnixSocket(tmp_path / "private" / "g.sock"))
    yield running
    await running.stop()


@pytest.fixture
async def remote(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the real server."""
    transport = httpx.AsyncHTTPTransport(uds=server.address.removeprefix("unix:"))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers={"authorization": "Bearer alice"}, timeout=20
    ) as http:
        yield http
