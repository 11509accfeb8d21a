"""Streams of kind "logs": what a container printed, and what it prints while someone follows.

The runner is the only reader of a log while it lives: it knows how long the file is, so a follower is woken by the
writer and never polls. Errors are the kubelet's own sentences, which users of kubectl know.
"""

from __future__ import annotations

import asyncio
from typing import Any, BinaryIO

from ..wire.crilog import BLOCK, Reader, tail_offset
from ..wire.frames import Channel
from ..wire.link import Stream
from ..wire.messages import LogOptions
from .capture import LogFile
from .container import Container
from .pod import Pod
from .state import Waiting


class Unavailable(Exception):
    """Words why a stream cannot be served."""


async def serve(stream: Stream, pod: Pod, name: str, options: Any) -> None:
    chosen: LogOptions = options
    log = select_log(pod, name, chosen.get("previous", False))
    try:
        file = open(log.path, "rb")  # noqa: SIM115, ASYNC230 the spool's files are read as they are written
    except OSError as error:
        raise Unavailable(f"the log of container {name!r} cannot be read: {error}") from error
    with file:
        await _send(stream, log, file, chosen)


def select_log(pod: Pod, name: str, previous: bool) -> LogFile:
    """The log of the run that is meant, as the kubelet chooses it."""
    title = pod.order.get("name", "")
    container = pod.container(name)
    if container is None:
        raise Unavailable(f"container {name} is not valid for pod {title}")
    if previous:
        log = _previous(container)
        if log is None:
            raise Unavailable(f'previous terminated container "{name}" in pod "{title}" not found')
        return log
    if not container.logs:
        reason = container.state.reason if isinstance(container.state, Waiting) else "ContainerCreating"
        raise Unavailable(f'container "{name}" in pod "{title}" is waiting to start: {reason}')
    return container.logs[-1]


def _previous(container: Container) -> LogFile | None:
    if isinstance(container.state, Waiting):
        return container.logs[-1] if container.logs else None
    return container.logs[-2] if len(container.logs) > 1 else None


async def _send(stream: Stream, log: LogFile, file: BinaryIO, options: LogOptions) -> None:
    reader = Reader(options)
    tail = options.get("tail")
    # a long tail is a long search: not in the loop
    position = 0 if tail is None else await asyncio.to_thread(tail_offset, file, tail)
    file.seek(position)
    while not reader.done:
        raw = file.read(BLOCK)
        position += len(raw)
        if raw:
            await stream.send(Channel.STDOUT, reader.feed(raw))
            await asyncio.sleep(0)
        elif log.ended or not options.get("follow", False):
            return
        else:
            await log.grown(position)
