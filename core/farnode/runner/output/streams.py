"""Streams the gateway opens: each is one task that ends with its stream, and whose failure is a sentence in `close`."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ...wire.link import Link, Stream, StreamClosed
from ...wire.messages import Open
from ..limits.stats import Stats
from ..pods.container import Container
from ..pods.pod import Pod
from ..roster import Roster
from . import attachment, execution, forward, logs
from .logs import Unavailable

logger = logging.getLogger(__name__)


class Streams:
    def __init__(self, roster: Roster, stats: Stats) -> None:
        self._roster = roster
        self._stats = stats
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, link: Link, message: Open) -> None:
        task = asyncio.get_running_loop().create_task(self._run(link.accept(message["stream"]), message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def any(self) -> bool:
        """Whether one is open."""
        return bool(self._tasks)

    async def finish(self) -> None:
        """Return when all have ended, which takes as long as the slowest reader."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, stream: Stream, message: Open) -> None:
        error = ""
        try:
            await self._serve(stream, message)
        except (StreamClosed, ConnectionError):
            return
        except Unavailable as unavailable:
            error = str(unavailable)
        except Exception:
            logger.exception("stream of kind %r", message.get("kind"))
            error = "the runner failed at this stream"
        with contextlib.suppress(OSError):
            await (stream.close(error=error) if error else stream.close())

    async def _serve(self, stream: Stream, message: Open) -> None:
        if message["kind"] == "stats":
            await self._stats.serve(stream, self._roster.alive)
            return
        pod = self._roster.get(message["uid"], message["attempt"])
        if pod is None:
            raise Unavailable(f"this runner has no attempt {message['attempt']} of pod {message['uid']}")
        name, options = message.get("container", ""), message.get("options", {})
        if message["kind"] == "logs":
            await logs.serve(stream, pod, name, options)
        elif message["kind"] == "exec":
            await execution.serve(stream, _container(pod, name), options)
        elif message["kind"] == "attach":
            await attachment.serve(stream, _container(pod, name), options)
        elif message["kind"] == "port":
            await forward.serve(stream, pod, options)
        else:
            raise Unavailable(f"streams of kind {message['kind']!r} are unknown to this runner")


def _container(pod: Pod, name: str) -> Container:
    container = pod.container(name)
    if container is None:
        raise Unavailable(f"container {name} is not valid for pod {pod.order.get('name', '')}")
    return container
