"""Port-forward by SPDY/3.1: for each connection a stream of data and one of errors, paired by their requestid."""

from __future__ import annotations

from contextlib import suppress

import anyio

from farnode.node.kubelet.connection import SpdyStream, connected
from farnode.node.kubelet.forwarding import Ports
from farnode.node.kubelet.pipes import Pipe
from farnode.node.kubelet.signs_of_life import pinging

_KINDS = ("error", "data")


async def serve(pipe: Pipe, ports: Ports) -> None:
    """Until the client has gone."""
    async with connected(pipe) as connection, pinging(connection.ping), anyio.create_task_group() as tasks:
        waiting: dict[tuple[str, str], SpdyStream] = {}
        while (stream := await connection.accept()) is not None:
            kind, request = stream.headers.get("streamtype", ""), _request(stream)
            if kind not in _KINDS or port(stream.headers.get("port", "")) is None or (kind, request) in waiting:
                await connection.refuse(stream)
                continue
            waiting[kind, request] = stream
            if all((each, request) in waiting for each in _KINDS):
                error, data = (waiting.pop((each, request)) for each in _KINDS)
                tasks.start_soon(_join, ports, error, data)
        tasks.cancel_scope.cancel()


def port(text: str) -> int | None:
    """None for what is none."""
    if text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536:
        return int(text)
    return None


async def _join(ports: Ports, error: SpdyStream, data: SpdyStream) -> None:
    wanted = port(data.headers["port"])
    assert wanted is not None
    with suppress(ConnectionError):
        await ports.join(wanted, data, lambda words: error.send(words.encode()))
        data.inbox.drop()
        await data.end()
        await error.end()


def _request(stream: SpdyStream) -> str:
    """Clients of Kubernetes 1.0 send none, but open the two streams one after the other."""
    behind = 2 if stream.headers.get("streamtype") == "data" else 0
    return stream.headers.get("requestid", str(stream.number - behind))
