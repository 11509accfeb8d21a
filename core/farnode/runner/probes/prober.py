"""The probes of one run of a container: when they are asked, and what follows from their answers.

Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes", and the kubelet's prober: until the startup
probe has succeeded there is no other; a container is not ready before its readiness probe succeeds; an answer that
could not be had does not count; a run that is being ended is only asked for its readiness.

A probe at rest is one timer.
"""

from __future__ import annotations

import asyncio
from typing import Callable

from ...wire.messages import ProbeOrder
from ..clock import Timer
from . import actions
from .actions import Outcome, Place
from .probe import KINDS, LIVENESS, READINESS, STARTUP, Tally, probes
from .timeout import ended

TRIES = 3
"""To get an answer at all, before the next period."""
LONGEST = 1024
"""Characters of an answer that are passed on."""


class Prober:
    def __init__(self, place: Place, changed: Callable[[], None], failed: Callable[[str, ProbeOrder], None]) -> None:
        """`changed()` when `started` or `ready` have; `failed(kind, order)` once, when the run shall be ended."""
        self._changed = changed
        self._failed = failed
        self._watches = {kind: Watch(kind, order, place, self._judge) for kind, order in probes(place.order).items()}
        self.started = STARTUP not in self._watches
        self.ready = READINESS not in self._watches
        self._begin()

    def hold(self) -> None:
        """The run is being ended."""
        self._end(STARTUP, LIVENESS)

    async def close(self) -> None:
        """Returns when nothing is being asked any more."""
        self._end(*KINDS)
        await ended(*[watch.asking for watch in self._watches.values() if watch.asking is not None])

    def _begin(self) -> None:
        for kind in (LIVENESS, READINESS) if self.started else (STARTUP,):
            if kind in self._watches:
                self._watches[kind].begin()

    def _end(self, *kinds: str) -> None:
        for kind in kinds:
            if kind in self._watches:
                self._watches[kind].end()

    def _judge(self, kind: str, success: bool) -> None:
        if kind == READINESS:
            if self.ready is not success:
                self.ready = success
                self._changed()
        elif not success:
            self.hold()
            self._failed(kind, self._watches[kind].order)
        elif kind == STARTUP:
            self.hold()
            self.started = True
            self._begin()
            self._changed()


class Watch:
    """One probe: asked every period, or at once after the answer that took longer than that."""

    def __init__(self, kind: str, order: ProbeOrder, place: Place, judge: Callable[[str, bool], None]) -> None:
        self.order = order
        self.asking: asyncio.Task[None] | None = None
        self._kind = kind
        self._place = place
        self._judge = judge
        self._clock = place.attempt.host.clock
        self._tally = Tally(order)
        self._timer: Timer | None = None
        self._overdue = False
        self._over = False

    def begin(self) -> None:
        self._over = False
        left = self._place.instance.started_at + self.order.get("initial_delay", 0) - self._clock.time()
        if left > 0:
            self._timer = self._clock.call_later(left, self._tick)
        else:
            self._tick()

    def end(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self.asking is not None and self.asking is not asyncio.current_task():
            self.asking.cancel()

    def _tick(self) -> None:
        self._timer = self._clock.call_later(self.order.get("period", 10), self._tick)
        if self.asking is None:
            self.asking = asyncio.ensure_future(self._ask())
        else:
            self._overdue = True

    async def _ask(self) -> None:
        try:
            while True:
                self._overdue = False
                outcome = await self._outcome()
                if outcome is not None:
                    self._tell(outcome)
                    verdict = self._tally.add(outcome.ok)
                    if verdict is not None:
                        self._judge(self._kind, verdict)
                if not self._overdue or self._over:
                    return
        finally:
            self.asking = None

    async def _outcome(self) -> Outcome | None:
        """None where there was no answer."""
        words = ""
        for _ in range(TRIES):
            try:
                return await actions.probe(self._place, self.order["action"], self.order.get("timeout", 1))
            except Exception as error:  # whatever it is, it is no answer
                words = str(error)
        self._note("Unhealthy", f"{self._kind.capitalize()} probe errored and resulted in unknown state: {words}")
        return None

    def _tell(self, outcome: Outcome) -> None:
        if not outcome.ok:
            self._note("Unhealthy", f"{self._kind.capitalize()} probe failed: {outcome.words}")
        elif outcome.words:
            self._note("ProbeWarning", f"{self._kind.capitalize()} probe warning: {outcome.words}")

    def _note(self, reason: str, message: str) -> None:
        self._place.attempt.note("Warning", reason, message[:LONGEST])
