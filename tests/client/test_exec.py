"""A command in a container, over a real WebSocket."""

from __future__ import annotations

import pytest

from farnode import AsyncClient, NotFound, Permanent, Pod, Transient
from tests.client.fake import Gateway, pod

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
