"""The end of a run that somebody asked for: preStop, its turn, its signal and at last SIGKILL, in one grace period.

Source: Kubernetes, "Pod Lifecycle" (Termination of Pods), and the kubelet's killContainer: however much of the grace
period hook and turn took, the program has some seconds between signal and SIGKILL. A grace period of 0 is SIGKILL at
once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Coroutine
from typing import Any, Callable

from ..clock import Clock, Timer
from .instance import Instance

Hook = Callable[[], Coroutine[Any, Any, None]]


class Ending:
    def __init__(self, clock: Clock, instance: Instance, hook: Hook | None, after: Collection[asyncio.Future[None]]):
        """`hook` raises nothing; the signal follows when it is over and each of `after` is done."""
        self._clock = clock
        self._instance = instance
        self._steps = [hook] if hook else []
        if after:
            self._steps.append(lambda: _all_of(after))
        self._at, self._least = math.inf, math.inf
        self._timer: Timer | None = None
        self._late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._preparing: asyncio.Task[None] | None = None
        self._signalled = False

    def begin(self, grace: float, least: float) -> None:
        """`least`: seconds between signal and SIGKILL, whatever is left of the grace then."""
        self.shorten(grace, least)
        if grace > 0 and self._steps:
            self._preparing = asyncio.ensure_future(self._prepare())
        elif grace > 0:
            self._signal()

    def shorten(self, grace: float, least: float) -> None:
        """It may take so long from now, if that is less."""
        if grace <= 0:
            self.close()
            self._instance.kill()
            return
        self._least = min(self._least, least)
        at = self._clock.time() + (max(grace, self._least) if self._signalled else grace)
        if at < self._at:
            self._arm(at)

    def close(self) -> None:
        """It has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._preparing is not None:
            self._preparing.cancel()

    async def _prepare(self) -> None:
        for step in self._steps:
            await self._in_time(asyncio.ensure_future(step()))
        self._signal()

    async def _in_time(self, step: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait({step, self._late}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            step.cancel()

    def _signal(self) -> None:
        self._signalled = True
        self._instance.terminate()
        earliest = self._clock.time() + self._least
        if self._at <= earliest:
            self._arm(earliest)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self._clock.call_later(at - self._clock.time(), self._expire)

    def _expire(self) -> None:
        if self._signalled:
            self._instance.kill()
        elif not self._late.done():
            self._late.set_result(None)


async def _all_of(futures: Collection[asyncio.Future[None]]) -> None:
    await asyncio.wait(futures)
