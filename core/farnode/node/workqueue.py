"""Which pods have something to be done: each is there once, and in one worker's hands at a time.

What happens while a worker has a pod brings it back afterwards; so a burst of changes is one turn with the last state.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

FIRST, MOST = 0.1, 30.0
"""Seconds before the first repetition of what failed, and at most between two."""


class WorkQueue:
    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._takers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Those that wait for a worker."""
        return len(self._waiting)

    def add(self, uid: str) -> None:
        if uid in self._busy:
            self._again.add(uid)
        elif uid not in self._queued:
            self._queued.add(uid)
            self._waiting.append(uid)
            self._wake()

    def later(self, uid: str, seconds: float) -> None:
        """Add it after that time; of several times the soonest counts."""
        loop = asyncio.get_running_loop()
        known = self._timers.get(uid)
        if known is not None:
            if known.when() <= loop.time() + seconds:
                return
            known.cancel()
        self._timers[uid] = loop.call_later(max(0.0, seconds), self._due, uid)

    async def take(self) -> str:
        """The one that has waited longest; `done` or `failed` must follow."""
        while not self._waiting:
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            await taker
        uid = self._waiting.popleft()
        self._queued.discard(uid)
        self._busy.add(uid)
        return uid

    def done(self, uid: str) -> None:
        self._failures.pop(uid, None)
        self._release(uid)

    def failed(self, uid: str, at_least: float, jitter: Callable[[], float] = random.random) -> None:
        """It comes again after `at_least` seconds, and later each time."""
        count = self._failures[uid] = self._failures.get(uid, 0) + 1
        delay = min(MOST, FIRST * 2 ** min(count - 1, 16)) * (0.5 + jitter() / 2)
        self._release(uid)
        self.later(uid, max(at_least, delay))

    def _due(self, uid: str) -> None:
        del self._timers[uid]
        self.add(uid)

    def _release(self, uid: str) -> None:
        self._busy.discard(uid)
        if uid in self._again:
            self._again.discard(uid)
            self.add(uid)

    def _wake(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return
