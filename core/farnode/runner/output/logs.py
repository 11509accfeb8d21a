"""Streams of kind "logs": what a container printed, and what it prints while someone follows.

The runner is the only reader of a log while it lives: it knows how long the file is, so a follower is woken by the
writer and never polls. Errors are the kubelet's own sentences, which users of kubectl know.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ...wire.crilog import BLOCK, Reader, tail_offset
from ...wire.frames import Channel
from ...wire.link import Stream
from ...wire.messages import LogOptions
from ...wire.rotation import open_files
from ..pods.container import Container
from ..pods.pod import Pod
from ..pods.state import Waiting
from .capture import LogFile


class Unavailable(Exception):
    """Words why a stream cannot be served."""


async def serve(stream: Stream, pod: Pod, name: str, options: Any) -> None:
    chosen: LogOptions = options
    log = select_log(pod, name, chosen.get("previous", False))
    reader, follow, end = Reader(chosen), chosen.get("follow", False), log.size
    place = await _begin(log, chosen.get("tail"))
    while not reader.done:
        if place < (log.size if follow else end):
            place, text = _read(log, place, reader)
            await stream.send(Channel.STDOUT, text)
            await asyncio.sleep(0)
        elif follow and not log.ended:
            await log.grown(place)
        else:
            return


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
    if isinstance(container.state, Waiting) and container.instance is None:
        return container.logs[-1] if container.logs else None
    return container.logs[-2] if len(container.logs) > 1 else None


async def _begin(log: LogFile, tail: int | None) -> int:
    """The place to read from."""
    begin = log.begin
    if tail is None:
        return begin
    try:
        file = open_files(log.paths())
    except OSError as error:
        raise _unreadable(error) from error
    with file:
        return begin + await asyncio.to_thread(tail_offset, file, tail)  # a long search: not in the loop


def _read(log: LogFile, place: int, reader: Reader) -> tuple[int, bytes]:
    """The place to go on at, and what to send. A reader slower than files are deleted goes on with the oldest kept."""
    try:
        found, raw = log.read(place, BLOCK)
    except OSError as error:
        raise _unreadable(error) from error
    if not raw:
        raise Unavailable("the log cannot be read: its file was cut short")
    text = reader.skip() if found > place else b""
    return found + len(raw), text + reader.feed(raw)


def _unreadable(error: OSError) -> Unavailable:
    return Unavailable(f"the log cannot be read: {error.strerror}")
