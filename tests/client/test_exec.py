"""A command in a container, over a real WebSocket."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from farnode import AsyncClient, NotFound, Permanent, Pod, Transient
from farnode.client.execution import ExecSession
from farnode.gateway.http import server
from tests.client.fake import Gateway, pod, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def started(client: AsyncClient, gateway: Gateway) -> Pod:
    (submitted,) = await client.submit(pod())
    gateway.do(lambda site: site.start(submitted.uid))
    return submitted


async def test_input_comes_back_and_its_end_ends_it(client: AsyncClient, started: Pod) -> None:
    async with await client.exec(started, ["cat"], stdin=True) as session:
        await session.send(b"x" * 300_000)
        await session.close_stdin()
        output = b"".join([data async for stream, data in session if stream == "stdout"])
    assert output == b"x" * 300_000
    assert session.exit_code == 0


async def test_the_exit_code_and_stderr(client: AsyncClient, started: Pod) -> None:
    async with await client.exec(started.uid, ["exit", "41"]) as session:
        assert [item async for item in session] == [("stderr", b"leaving\n")]
        assert session.exit_code == 41
        assert await session.wait() == 41


async def test_a_terminal_is_resized(client: AsyncClient, started: Pod) -> None:
    async with await client.exec(started, ["sizes"], stdin=True, tty=True, size=(24, 80)) as session:
        output = session.output()
        assert (await anext(output)).data == b"24x80\r\n"
        await session.resize(50, 132)
        assert (await anext(output)).data == b"50x132\r\n"
        await session.send(b"q")
        assert await session.wait() == 0


async def test_what_cannot_be_run_has_no_exit_code(client: AsyncClient, started: Pod) -> None:
    async with await client.exec(started, ["no-such"]) as session:
        with pytest.raises(Permanent, match="no-such: no such file"):
            await session.wait()
    with pytest.raises(NotFound, match="no pod with UID"):
        async with await client.exec("no-such", ["cat"], "main"):
            raise AssertionError


async def test_output_goes_on_while_input_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also past the gateway's pings, whose answers would wait behind that input."""
    usual = server._settings

    def pinging(app: FastAPI, tls: ssl.SSLContext | None) -> uvicorn.Config:
        config = usual(app, tls)
        config.ws_ping_interval = 0.05
        return config

    monkeypatch.setattr(server, "_settings", pinging)
    with running(tmp_path) as gateway:
        async with AsyncClient(gateway.site()) as client, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            (submitted,) = await client.submit(pod())
            gateway.do(lambda site: site.start(submitted.uid))
            async with await client.exec(submitted, ["deaf"], stdin=True) as session:
                sending = tasks.create_task(_send_for_ever(session))
                output = session.output()
                for _ in range(100):
                    assert (await anext(output)).data == b"tick"
                sending.cancel()


async def _send_for_ever(session: ExecSession) -> None:
    while True:
        await session.send(b"x" * 65536)


async def test_a_restart_ends_it_without_a_lie(client: AsyncClient, gateway: Gateway, started: Pod) -> None:
    async with await client.exec(started, ["cat"], stdin=True) as session:
        await session.send(b"x")
        assert (await anext(session.output())).data == b"x"
        gateway.stop()
        with pytest.raises((Transient, Permanent)):
            await session.wait()


async def test_an_error_inside_comes_out_bare(client: AsyncClient, started: Pod) -> None:
    with pytest.raises(ZeroDivisionError):
        async with await client.exec(started, ["cat"], stdin=True):
            raise ZeroDivisionError
