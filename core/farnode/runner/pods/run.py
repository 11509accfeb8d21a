"""One run of a container with what the kubelet does beside it: hooks, probes, and its end on request."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Callable

from ...wire.messages import ContainerOrder, ProbeOrder
from ..output.capture import LogFile
from ..probes import actions
from ..probes.actions import Place
from ..probes.probe import probes
from ..probes.prober import Prober
from ..probes.timeout import ended
from .attempt import Attempt
from .ending import Ending
from .instance import Instance
from .state import Terminated

MINIMUM = 2.0
"""Seconds between signal and SIGKILL, at least; the kubelet's."""
DEFAULT_GRACE = 30.0
"""Seconds; Kubernetes' terminationGracePeriodSeconds where the order says nothing."""


class Run:
    def __init__(
        self,
        attempt: Attempt,
        order: ContainerOrder,
        gpus: Sequence[str],
        log: LogFile,
        changed: Callable[[], None],
        unhealthy: Callable[[str], str],
    ) -> None:
        """Starts it; raises OSError or ValueError with words when that cannot be. `changed()` when it runs, or is
        something it was not before; `unhealthy(kind)` returns words for its end when its probe of that kind failed."""
        self.instance = Instance(attempt, order, gpus, log)
        self.running = False
        """Its postStart hook is done."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when nothing of it lives."""
        self._attempt = attempt
        self._order = order
        self._place = Place(attempt, order, self.instance)
        self._changed = changed
        self._unhealthy = unhealthy
        self._prober: Prober | None = None
        self._ending: Ending | None = None

    @property
    def started(self) -> bool:
        return self.running and (self._prober is None or self._prober.started)

    @property
    def ready(self) -> bool:
        return self.started and (self._prober is None or self._prober.ready)

    @property
    def asked_to_end(self) -> bool:
        return self._ending is not None

    async def finish(self) -> Terminated:
        """Returns when nothing of it lives."""
        try:
            try:
                await self._attended()
            except Exception:
                self.instance.kill()  # a fault of ours: the program must not outlive it
                await self.instance.finish()
                raise
            return await self.instance.finish()
        finally:
            if self._ending is not None:
                self._ending.close()
            self.over.set_result(None)

    def end(
        self,
        grace: float,
        least: float = MINIMUM,
        words: str = "",
        after: Collection[asyncio.Future[None]] = (),
    ) -> None:
        """Within `grace` seconds, but not before each of `after` is done; a later call may shorten the grace."""
        if self._ending is not None:
            self._ending.shorten(grace, least)
            return
        self._attempt.note("Normal", "Killing", words or f"Stopping container {self._order['name']}")
        if self._prober is not None:
            self._prober.hold()
        hook = self._pre_stop if self._order.get("pre_stop") else None
        self._ending = Ending(self._attempt.host.clock, self.instance, hook, after)
        self._ending.begin(grace, least)

    async def _attended(self) -> None:
        """Until nothing is done beside it any more."""
        if await self.instance.begun():
            self._attempt.note("Normal", "Started", f"Started container {self._order['name']}")
            if await self._post_start():
                self._begin()
        if self._prober is not None:
            await self.instance.child.exited
            await self._prober.close()

    def _begin(self) -> None:
        self.running = True
        if probes(self._order):
            self._prober = Prober(self._place, self._changed, self._fail)
        self._changed()

    def _fail(self, kind: str, probe: ProbeOrder) -> None:
        own = probe.get("grace")
        self.end(self._grace if own is None else own, words=self._unhealthy(kind))

    @property
    def _grace(self) -> float:
        return self._attempt.order.get("grace", DEFAULT_GRACE)

    async def _post_start(self) -> bool:
        """Whether it may be called running: the hook succeeded, and nobody wants its end by now."""
        action = self._order.get("post_start")
        if not action:
            return True
        doing = asyncio.ensure_future(actions.hook(self._place, action))
        ends: set[asyncio.Future[Any]] = {doing, self.instance.child.exited}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        done = doing.done() and doing.result()
        await ended(doing)
        if not done and self._ending is None:
            self._attempt.note("Warning", "FailedPostStartHook", "PostStartHook failed")
            if not self.instance.child.exited.done():
                self.end(self._grace, words="FailedPostStartHook")
        return done and self._ending is None

    async def _pre_stop(self) -> None:
        action = self._order["pre_stop"]
        done = action["kind"] == "sleep"  # one that is cut short has not failed
        try:
            done = await actions.hook(self._place, action)
        finally:
            if not done:
                self._attempt.note("Warning", "FailedPreStopHook", "PreStopHook failed")
