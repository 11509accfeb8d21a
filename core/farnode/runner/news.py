"""What there is to say of pods, in as few and as large messages as nobody has to wait for.

An end makes room for another pod and is told in the same turn of the loop; so is all that happens to a pod that is
alone. What else happens to one of many waits for some milliseconds: a pod that ends in that time makes one event. And
while the gateway has not answered what it was told last, everything waits: the busier it is, the more it gets at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Callable

from ..wire.messages import EventFrame
from .pods.pod import Pod

SOON = 0.005
"""Seconds that may go by before what is not urgent is told."""
HELD_BACK = 0.01
"""Seconds, at most, to wait for an answer."""


class News:
    def __init__(self, record: Callable[[Sequence[EventFrame]], None], pending: Callable[[], bool]) -> None:
        """`record` takes events in order; `pending()` tells whether there are some that were not answered."""
        self._record = record
        self._pending = pending
        self._urgent: dict[Pod, None] = {}
        self._others: dict[Pod, None] = {}
        self._now: asyncio.Handle | None = None
        self._soon: asyncio.Handle | None = None

    def add(self, pod: Pod, urgent: bool) -> None:
        """There is something new of it."""
        if not urgent:
            self._others[pod] = None
            if self._soon is None:
                self._soon = asyncio.get_running_loop().call_later(SOON, self._hurry)
            return
        self._others.pop(pod, None)
        self._urgent[pod] = None
        if self._now is None:
            loop = asyncio.get_running_loop()
            self._now = loop.call_later(HELD_BACK, self.tell) if self._pending() else loop.call_soon(self.tell)

    def tell(self) -> None:
        """Record what is urgent."""
        if self._now is None:
            return
        self._now.cancel()
        self._now = None
        pods, self._urgent = self._urgent, {}
        self._record([pod.event() for pod in pods])

    def tell_all(self) -> None:
        """Record everything."""
        self._hurry()
        self.tell()

    def _hurry(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        others, self._others = self._others, {}
        for pod in others:
            self.add(pod, urgent=True)
