"""Everything of the kubelet API that may last: bounded, and ended when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from farnode.errors import Transient

_GRACE = 6.0
"""Seconds to tell clients of the end; a little longer than one of them is waited for."""


class Streams:
    """At most so many at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place for the handler that enters it; Transient where there is none."""
        if len(self._tasks) >= self._limit:
            raise Transient(f"this node has {self._limit} logs and streams open, which is its limit: try again later")
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    async def close(self) -> None:
        """Cancels those there are, which then say so to their clients."""
        if tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_GRACE)
