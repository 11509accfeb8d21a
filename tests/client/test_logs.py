"""Logs: back-pressure, and following through lost connections without a line doubled or missing."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest
from anyio.abc import ByteStream
from hypothesis import given, settings
from hypothesis import strategies as st

from farnode import AsyncClient, Invalid, Pod, Transient
from farnode.client.cursor import Cursor
from tests.client.conftest import QUICK
from tests.client.fake import CHUNK, Gateway, pod

pytestmark = pytest.mark.anyio


@pytest.fixture
async def started(client: AsyncClient, gateway: Gateway) -> Pod:
    (submitted,) = await client.submit(pod())
    gateway.do(lambda site: site.start(submitted.uid))
    return submitted


async def test_options_reach_the_gateway(client: AsyncClient, gateway: Gateway, started: Pod) -> None:
    gateway.do(lambda site: site.write(started.uid, b"one\ntwo\n"))
    options = {"previous": True, "timestamps": True, "tail": 3, "limit": 90}
    chunks = client.logs(started, "main", since_time="2026-01-01T00:00:01Z", **options)  # type: ignore[arg-type]
    assert b"".join([chunk async for chunk in chunks]) == (
        b"2026-01-01T00:00:01.000000000Z one\n2026-01-01T00:00:01.000000000Z two\n"
    )
    asked = gateway.state.logs_asked[0]
    assert {key: asked.get(key) for key in options} == options
    assert asked["since"] == 1767225601


async def test_nothing_is_read_ahead_of_the_consumer(client: AsyncClient, gateway: Gateway, started: Pod) -> None:
    for follow in (False, True):
        gateway.state.produced = 0
        async with aclosing(client.logs(started, "endless", follow=follow)) as chunks:
            await anext(chunks)
            before = -1
            while before != gateway.state.produced:  # until every buffer between is full
                before = gateway.state.produced
                for _ in range(10):
                    await client.pods()
            assert gateway.state.produced * len(CHUNK) < 8 << 20


async def test_a_followed_log_survives_a_restart(client: AsyncClient, gateway: Gateway, started: Pod) -> None:
    gateway.do(lambda site: site.write(started.uid, b"one\ntwo\n", at=1.5))
    async with aclosing(client.logs(started, follow=True)) as chunks:
        read = await anext(chunks)
        while read != b"one\ntwo\n":
            read += await anext(chunks)
        gateway.stop()
        gateway.do(lambda site: site.write(started.uid, b"three\n", at=1.5))
        gateway.do(lambda site: site.write(started.uid, b"four\n", at=2.0))
        gateway.do(lambda site: site.end(started.uid))
        gateway.start()
        assert b"".join([chunk async for chunk in chunks]) == b"three\nfour\n"


async def test_a_limit_of_a_followed_log_counts_what_is_delivered(
    client: AsyncClient, gateway: Gateway, started: Pod
) -> None:
    gateway.do(lambda site: site.write(started.uid, b"one\ntwo\n"))
    assert b"".join([chunk async for chunk in client.logs(started, follow=True, limit=6)]) == b"one\ntw"


async def test_a_log_that_cannot_be_is_refused(client: AsyncClient) -> None:
    (submitted,) = await client.submit(pod())
    with pytest.raises(Invalid, match="has not started yet"):
        await anext(client.logs(submitted))


async def test_a_lost_log_that_is_not_followed_is_an_error(gateway: Gateway) -> None:
    dialled: list[ByteStream] = []

    async def dial() -> ByteStream:
        dialled.append(await anyio.connect_unix(gateway.address.removeprefix("unix:")))
        return dialled[-1]

    async with (
        AsyncClient(gateway.site(), dial=dial, patience=QUICK) as client,
        aclosing(client.logs("any", "endless")) as chunks,
    ):
        await anext(chunks)
        await anyio.aclose_forcefully(dialled[0])
        with pytest.raises(Transient, match="connection to the gateway failed"):
            async for _ in chunks:
                pass


LINES = st.lists(st.tuples(st.integers(0, 3), st.text("ab \r", max_size=4)), min_size=1, max_size=12)


@settings(deadline=None)
@given(LINES, st.data(), st.booleans(), st.booleans())
def test_no_cut_doubles_or_drops_a_byte(
    lines: list[tuple[int, str]], data: st.DataObject, timestamps: bool, finished: bool
) -> None:
    stamped = [(b"2026-01-01T00:00:00.%dZ" % at, text.encode() + b"\n") for at, text in sorted(lines)]
    if not finished:  # a line of which something was written, but not its end
        stamped[-1] = (stamped[-1][0], stamped[-1][1].replace(b"\n", b"x"))
    whole = b"".join(at + b" " + text for at, text in stamped)
    expected = whole if timestamps else b"".join(text for _, text in stamped)
    cursor, delivered = Cursor(timestamps), b""
    for end in sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4))):
        delivered += _fed(cursor, whole[:end], data)
        since = cursor.lost()
        assert since in (None, "2026-01-01T00:00:00Z")
    delivered += _fed(cursor, whole, data)
    assert delivered == expected


def _fed(cursor: Cursor, text: bytes, data: st.DataObject) -> bytes:
    """In pieces of any size."""
    size = data.draw(st.integers(1, 40))
    return b"".join(cursor.feed(text[at : at + size]) for at in range(0, len(text), size))
