"""How many calls a site's batch system is spared: one bucket of tokens for every command to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum

from farnode.providers.slurm.ledger import Ledger

CANCEL_RESERVE = 5
"""Tokens only a cancellation may take: what must end is ended although submissions have used up the rest."""
SUBMIT_RESERVE = 5
"""Tokens beyond those that no question may take: who waits for an allocation does not wait for a question."""


class Urgency(IntEnum):
    CANCEL = 0
    SUBMIT = 1
    QUERY = 2


class Budget:
    """`burst` calls at once, `per_minute` in the long run. The more urgent goes first; nobody is turned away."""

    def __init__(
        self,
        burst: int,
        per_minute: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ledger: Ledger | None = None,
    ) -> None:
        self.burst = burst
        self.per_minute = per_minute
        self._rate = per_minute / 60
        self._floors = {
            Urgency.CANCEL: 0,
            Urgency.SUBMIT: min(CANCEL_RESERVE, burst - 1),
            Urgency.QUERY: min(CANCEL_RESERVE + SUBMIT_RESERVE, burst - 1),
        }
        self._clock = clock
        self._sleep = sleep
        self._ledger = ledger
        self._tokens = float(burst) if ledger is None else ledger.left(burst, per_minute)
        self._filled_at = clock()
        self._waiting = dict.fromkeys(Urgency, 0)

    async def take(self, urgency: Urgency) -> None:
        """Return when a call of this urgency may be made."""
        ahead = sum(count for other, count in self._waiting.items() if other < urgency)
        if not ahead and self._delay(urgency) <= 0:
            self._spend()
            return
        self._waiting[urgency] += 1
        try:
            while (delay := self._delay(urgency)) > 0:
                await self._sleep(delay)
        finally:
            self._waiting[urgency] -= 1
        self._spend()

    def _spend(self) -> None:
        self._tokens -= 1
        if self._ledger is not None:
            self._ledger.note(self._tokens)

    @property
    def left(self) -> float:
        """Tokens there are now."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return self._tokens

    @property
    def waiting(self) -> int:
        return sum(self._waiting.values())

    def _delay(self, urgency: Urgency) -> float:
        ahead = sum(count for other, count in self._waiting.items() if other < urgency)
        missing = self._floors[urgency] + ahead + 1 - self.left
        return missing / self._rate if missing > 1e-6 else 0.0
