"""Real clients' bytes, sent once more: what they took for an answer then is what they get."""

from __future__ import annotations

import asyncio
import gc
import re
from collections import defaultdict

import pytest

from farnode.node.kubelet.spdy import Codec, Data, SynReply
from tests.client.live import program
from tests.node.kubelet import captured
from tests.node.kubelet.serving import PATIENCE, Json, Serving, until

pytestmark = pytest.mark.anyio

STATUS = re.compile(rb'\{"metadata".*\}')
CLOSE = b"\x88\x02\x03\xe8"
"""The WebSocket's end, code 1000."""


async def replayed(kubelet: Serving, name: str) -> bytes:
    """What the server says to a captured client, which waits for an answer before each piece; up to the client's
    goodbye."""
    pieces = [piece for piece in captured.pieces(name) if piece.sent]
    await kubelet.running(named(pieces[0]))
    reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.server.port, ssl=kubelet.tls)
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE):
            for piece in pieces[:-1]:
                writer.write(piece.data)
                answer += await some(reader)
            while not STATUS.search(answer) or (name.startswith("ws") and not answer.endswith(CLOSE)):
                answer += await some(reader)
    finally:
        writer.close()
    return answer.partition(b"\r\n\r\n")[2]


def named(request: captured.Piece) -> Json:
    """The pod of its path, where commands can be run."""
    _, _, namespace, name, _ = request.data.split(b" ", 2)[1].decode().split("/")
    manifest = program(name, "sleep", "1000")
    manifest["metadata"]["namespace"] = namespace
    return manifest


async def some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65536)
    assert data, "the server closed the connection"
    return data


@pytest.mark.parametrize("name", ["ws-v5-exec-plain", "ws-v5-exec-stdin", "ws-v5-exec-python"])
async def test_websocket(kubelet: Serving, name: str) -> None:
    answer = await replayed(kubelet, name)
    expected = captured.direction(name, sent=False)
    assert answer.startswith(b"\x82\x01\x01")
    assert STATUS.findall(answer) == STATUS.findall(expected)
    assert sorted(answer) == sorted(expected), "the same messages, though of two streams in any order"


@pytest.mark.parametrize("name", ["spdy-exec-plain", "spdy-exec-stdin"])
async def test_spdy(kubelet: Serving, name: str) -> None:
    answer, expected = await replayed(kubelet, name), captured.direction(name, sent=False)
    assert streams(answer) == streams(expected)


@pytest.mark.parametrize("name", ["spdy-exec-plain", "spdy-exec-stdin"])
async def test_a_client_in_haste(kubelet: Serving, name: str) -> None:
    """It says goodbye before it was answered, and nothing of it stays."""
    writer = await begun(kubelet, [piece for piece in captured.pieces(name) if piece.sent])
    writer.close()

    async def is_idle() -> bool:
        gc.collect()
        return not kubelet.server.streams

    await until(is_idle, "the session ends")


async def begun(kubelet: Serving, pieces: list[captured.Piece]) -> asyncio.StreamWriter:
    """All of them are sent as soon as anything was answered to the one before."""
    await kubelet.running(named(pieces[0]))
    reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.server.port, ssl=kubelet.tls)
    for piece in pieces:
        writer.write(piece.data)
        if not await reader.read(65536):
            break
    return writer


def streams(answer: bytes) -> tuple[list[int], dict[int, bytes]]:
    """What was accepted, and said on each stream."""
    replies: list[int] = []
    said: defaultdict[int, bytes] = defaultdict(bytes)
    for frame in Codec().receive(answer):
        if isinstance(frame, SynReply):
            replies.append(frame.stream)
        elif isinstance(frame, Data) and frame.data:
            said[frame.stream] += frame.data
    return replies, said
