"""Streams of kind "attach": one who looks at a container's main process from now on, and may type for it.

It neither begins nor ends with the container: any number come and go, and none can hold it up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ...wire.frames import Channel
from ...wire.link import Data, Stream
from ...wire.messages import AttachOptions
from ..pods.container import Container
from .logs import Unavailable
from .stdio import StandardStreams
from .viewer import BACKLOG, Viewer

BEHIND = f"the container wrote more than {BACKLOG} bytes that were not taken; its log has all of it"


async def serve(stream: Stream, container: Container, options: Any) -> None:
    instance = container.instance
    if instance is None:
        raise Unavailable(f'container not found ("{container.name}")')
    viewer = Viewer(_wanted(options))
    if options.get("rows") and options.get("cols"):
        instance.streams.resize(options["rows"], options["cols"])
    with instance.streams.shown_to(viewer):
        await _attended(stream, viewer, instance.streams, options.get("stdin", False))
    if viewer.behind:
        raise Unavailable(BEHIND)
    if instance.child.exited.done():
        await stream.close(exit_code=instance.child.exited.result())


def _wanted(options: AttachOptions) -> set[Channel]:
    asked = {Channel.STDOUT: options.get("stdout", False), Channel.STDERR: options.get("stderr", False)}
    return {channel for channel, wanted in asked.items() if wanted}


async def _attended(stream: Stream, viewer: Viewer, streams: StandardStreams, stdin: bool) -> None:
    """Until all was shown that the container will ever put out, or the stream has ended."""
    feeding = asyncio.ensure_future(_feed(stream, streams, stdin))
    ends: list[asyncio.Future[None]] = [
        asyncio.ensure_future(stream.closed()),
        asyncio.ensure_future(_show(stream, viewer)),
    ]
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in done:
            end.result()
    finally:
        for task in (feeding, *ends):
            task.cancel()
        await asyncio.gather(feeding, *ends, return_exceptions=True)
        if stdin:
            await streams.end_input()


async def _show(stream: Stream, viewer: Viewer) -> None:
    while (chunk := await viewer.next()) is not None:
        await stream.send(Channel(chunk.channel), chunk.data)


async def _feed(stream: Stream, streams: StandardStreams, stdin: bool) -> None:
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data):
            if stdin:
                await streams.feed(item.data)
        elif item["type"] == "eof" and stdin:
            await streams.end_input()
        elif item["type"] == "resize":
            streams.resize(item["rows"], item["cols"])
