"""Asks the scheduler what to do with waiting pods, after every batch of stimuli. No I/O; nonces come from outside.

What waits and what has room is kept in step with the machine's records (`backlog`, `rooms`), so that a decision costs
the same however many pods wait: see benchmarks/scale.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from farnode.gateway import stimuli as s
from farnode.gateway.asking import Means, Settling, Spare, Telling
from farnode.gateway.backlog import Backlog
from farnode.gateway.dedicating import Dedicating
from farnode.gateway.ganging import Ganging
from farnode.gateway.machine import Machine
from farnode.gateway.piloting import Piloting
from farnode.gateway.records import Stage
from farnode.gateway.requests import standing
from farnode.gateway.rooms import Rooms
from farnode.gateway.usage import Usage
from farnode.model.offer import Offer
from farnode.scheduler.matching import match
from farnode.scheduler.queue import Queue

STANDING_RETRY = 60.0
"""Seconds at most between two tries to get a standing allocation that ends at once."""

ASK_AGAIN = 0.05
"""Seconds between two looks at which allocations are wanted: those cost by allocation, and are not in such a hurry."""


class Planner:
    """`wake_at` is when it wants to be asked again though nothing may have happened by then."""

    def __init__(self, machine: Machine, means: Means, usage: Usage) -> None:
        self.offers: Sequence[Offer] = ()
        self.draining = False
        self.wake_at: float | None = None
        self._machine = machine
        self._means = means
        self._usage = usage
        self._rooms = Rooms(machine, means.policy.matching.default_need)
        self._backlog = Backlog(machine, None if means.policy.dedicated else means.policy.matching)
        tell = Telling(machine)
        self._dedicating = Dedicating(means, self._backlog, tell)
        self._ganging = Ganging(machine, means, self._backlog)
        self._piloting = Piloting(means, self._rooms, self._backlog, tell)
        self._known: Sequence[Offer] = ()
        self._ask_at = float("-inf")
        self._tries: dict[tuple[str, str | None], tuple[int, float]] = {}

    @property
    def queues(self) -> Sequence[Queue]:
        """Pods that wait for a place, by shape."""
        return self._backlog.pooled, self._backlog.own

    def plan(self, at: float, connected: Callable[[str], bool]) -> Iterator[s.Stimulus]:
        self.wake_at = None
        touched = self._follow_records(at)
        for misfit in self._backlog.follow(at):
            yield s.Unplaceable(at, misfit.uid, misfit.words)
        if self.draining and not self._unfinished():
            yield from self._stop_all(at)
            self._note(touched, at)
            return
        if not self.draining:
            yield from self._standing(at)
        for bound in self._bind(at, connected):
            touched.add(bound.nonce)
            yield bound
        if self.offers and at >= self._ask_at:
            self._ask_at = at + ASK_AGAIN
            yield from self._ask(at, connected)
        elif self._ask_at > at:
            self.wake_at = self._ask_at
        self._note(touched, at)

    def _ask(self, at: float, connected: Callable[[str], bool]) -> Iterator[s.Stimulus]:
        live = [self._machine.allocations[nonce] for nonce in self._rooms.live]
        spare, settled = Spare(self.offers, live), Settling(at)
        yield from self._ganging.ask(spare, at)
        yield from self._dedicating.ask(live, spare, settled, at)
        yield from self._piloting.ask(self.offers, spare, settled, connected, at)
        self.wake_at = settled.wake_at

    def _follow_records(self, at: float) -> set[str]:
        moved = self._machine.take_moved()
        self._backlog.heed(moved.pods)
        for nonce in moved.allocations:
            record = self._machine.allocations.get(nonce)
            if record is not None and record.pod is None:
                self._piloting.heed(record)
        touched = self._rooms.follow(moved.pods, moved.allocations, at)
        if self._known != self.offers:  # only now: what is gone is not looked at
            self._known = self.offers
            self._backlog.know(self.offers)
            self._rooms.know(self.offers)
        return touched

    def _note(self, nonces: set[str], at: float) -> None:
        for nonce in nonces:
            load = self._rooms.load(nonce)
            if load is None:
                self._usage.end(nonce, at)
            else:
                self._usage.note(nonce, self._machine.allocations[nonce].owner, load, at)

    # ---- the end of a site ---------------------------------------------------------------------------------------

    def _unfinished(self) -> bool:
        return any(pods for stage, pods in self._machine.stages.items() if stage is not Stage.ENDED)

    def _stop_all(self, at: float) -> Iterator[s.Stimulus]:
        """Nobody needs the allocations any more."""
        if not all(self._machine.allocations[nonce].cancelled for nonce in self._rooms.live):
            yield s.StopAll(at)

    # ---- standing allocations: one per offer (and owner, where owners are kept apart) -------------------------------

    def _standing(self, at: float) -> Iterator[s.Stimulus]:
        offers = [offer for offer in self.offers if offer.standing]
        if not offers:
            return
        live = [self._machine.allocations[nonce] for nonce in self._rooms.live]
        have = {(record.offer, record.owner) for record in live if record.pod is None}
        for offer in offers:
            for owner in self._owners():
                key = (offer.name, owner)
                if key not in have and self._may_try(key, at):
                    nonce = self._means.nonce()
                    request = standing(self._means.terms, nonce, self._means.directory(nonce), owner, offer)
                    yield s.AllocationWanted(at, request, offer.name, owner=owner)

    def _owners(self) -> Sequence[str | None]:
        if self._means.policy.share:
            return [None]
        return sorted({line.shape.owner for line in self._backlog.pooled.lines()})

    def _may_try(self, key: tuple[str, str | None], at: float) -> bool:
        tries, last = self._tries.get(key, (0, -STANDING_RETRY))
        if at - last > 10 * STANDING_RETRY:
            tries = 0
        if at - last < min(STANDING_RETRY, 2.0 ** min(tries, 10) - 1):
            return False
        self._tries[key] = (tries + 1, at)
        return True

    # ---- pods to runners -----------------------------------------------------------------------------------------

    def _bind(self, at: float, connected: Callable[[str], bool]) -> Iterator[s.Bound]:
        if len(self._backlog.pooled):
            rooms = self._rooms.open(connected)
            for uid, nonce in match(self._backlog.pooled, rooms, at, self._means.policy.matching):
                yield s.Bound(at, uid, nonce)
                self._rooms.matched(uid, nonce, at)
                self._backlog.heed((uid,))
