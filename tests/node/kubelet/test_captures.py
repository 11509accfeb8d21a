"""Real clients' bytes, sent once more: what they took for an answer then is what they get."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict

import pytest

from farnode.node.kubelet.spdy import Codec, Data, SynReply
from tests.client.live import program
from tests.node.kubelet import captured
from tests.node.kubelet.serving import PATIENCE, Serving

pytestmark = pytest.mark.anyio

STATUS = re.compile(rb'\{"metadata".*\}')
CLOSE = b"\x88\x02\x03\xe8"
"""The WebSocket's end, code 1000."""


async def replayed(kubelet: Serving, name: str) -> bytes:
    """What the server says to a captured client, which waits for an answer before each piece; up to the v1.Status."""
    pieces = captured.pieces(name)
    path = pieces[0].data.split(b" ", 2)[1].decode()
    manifest = program(path.split("/")[3], "sleep", "1000")
    manifest["metadata"]["namespace"] = path.split("/")[2]
    await kubelet.running(manifest)
    reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.server.port, ssl=kubelet.tls)
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE):
            for piece in (piece for piece in pieces if piece.sent):
                if not STATUS.search(answer):
                    writer.write(piece.data)
                    answer += await reader.read(65536)
            while not STATUS.search(answer) or (name.startswith("ws") and not answer.endswith(CLOSE)):
                answer += await reader.read(65536)
    finally:
        writer.close()
    return answer.partition(b"\r\n\r\n")[2]


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


def streams(answer: bytes) -> tuple[list[int], dict[int, bytes]]:
    """What was accepted, and said on each stream."""
    replies, said = [], defaultdict(bytes)
    for frame in Codec().receive(answer):
        if isinstance(frame, SynReply):
            replies.append(frame.stream)
        elif isinstance(frame, Data) and frame.data:
            said[frame.stream] += frame.data
    return replies, said
