"""Streams of kind "port": one TCP connection each, to a listener of the pod's own processes and to nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

from ...wire.frames import Channel
from ...wire.link import Data, Stream, StreamClosed
from ..pods.pod import Pod
from ..processes import listeners
from .logs import Unavailable
from .pipes import CHUNK

PATIENCE = 10.0
"""Seconds for a listener to take a connection; its queue may be full."""


async def serve(stream: Stream, pod: Pod, options: Any) -> None:
    port = int(options["port"])
    try:
        reader, writer = await _connected(pod, port)
        try:
            await _exchange(stream, reader, writer)
        finally:
            writer.close()
    except (OSError, asyncio.TimeoutError) as error:
        what = f"port {port} to pod {pod.order.get('name', '')}, uid {pod.order['uid']}"
        raise Unavailable(f"error forwarding {what}: {str(error) or 'no answer in time'}") from error
    await stream.close(exit_code=0)


async def _connected(pod: Pod, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises OSError with words when that cannot be."""
    instances = [one.instance for one in pod.inits + pod.containers if one.instance is not None]

    def search() -> str | None:
        return listeners.address_of(port, [pid for instance in instances for pid in instance.pids()])

    address = await asyncio.to_thread(search)
    if address is None:
        raise ConnectionRefusedError("no process of the pod listens there")
    return await asyncio.wait_for(asyncio.open_connection(address, port, limit=CHUNK), PATIENCE)


async def _exchange(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until both directions have ended, or the stream has."""
    closed = asyncio.ensure_future(stream.closed())
    ways = [asyncio.ensure_future(way) for way in (_to_pod(stream, writer), _from_pod(stream, reader))]
    both = asyncio.gather(*ways)
    ends: list[asyncio.Future[Any]] = [both, closed]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if both.done():
            both.result()
    except StreamClosed:
        return
    finally:
        for task in (*ways, closed):
            task.cancel()
        await asyncio.gather(both, closed, return_exceptions=True)


async def _to_pod(stream: Stream, writer: asyncio.StreamWriter) -> None:
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data):
            writer.write(item.data)
            await writer.drain()
        elif item["type"] == "eof":
            writer.write_eof()
            return


async def _from_pod(stream: Stream, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(CHUNK):
        await stream.send(Channel.STDOUT, data)
    await stream.eof(Channel.STDOUT)
