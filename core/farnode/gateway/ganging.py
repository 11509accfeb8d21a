"""Asks for one job for each gang whose members are all there, and tells the others what they wait for. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from farnode.gateway import stimuli as s
from farnode.gateway.asking import SETTLE, Means, Spare
from farnode.gateway.backlog import Backlog
from farnode.gateway.gangs import Gathering, gatherings, seats
from farnode.gateway.machine import Machine
from farnode.gateway.requests import dedicated
from farnode.scheduler.placement import Placement, Unfit

PER_MEMBER = 0.0005
"""Seconds between two looks, for each member that waits; looking takes some 20 to 40 µs of them."""


class Ganging:
    def __init__(self, machine: Machine, means: Means, backlog: Backlog) -> None:
        self._machine = machine
        self._means = means
        self._backlog = backlog
        self._looked = float("-inf")

    def ask(self, spare: Spare, at: float) -> Iterator[s.AllocationWanted | s.Unplaceable]:
        """Looks at every member that waits, so not with every decision."""
        members = len(self._backlog.gangs)
        if not members or at - self._looked < SETTLE + members * PER_MEMBER:
            return
        self._looked = at
        for gathering in gatherings(self._machine, self._backlog.gangs, self._means.terms.default_walltime):
            placement = self._backlog.placement(gathering.demand)
            words = gathering.words or self._refusal(gathering, placement, spare, at)
            if not words and isinstance(placement, Placement):
                spare.spend(placement.offer, 1)
                yield from self._seats(gathering, placement, at)
            else:
                yield from (s.Unplaceable(at, uid, words) for uid in gathering.uids)

    def _refusal(self, gathering: Gathering, placement: Placement | Unfit, spare: Spare, at: float) -> str:
        if isinstance(placement, Unfit):
            return placement.words
        if placement.offer.standing:
            return f"{placement.offer.name}: one allocation is for all pods here; there are no jobs for gangs"
        if not spare.may(placement.offer, 1):
            return spare.words(placement.offer)
        return self._means.hours.may_ask(gathering.owner, at) or ""

    def _seats(self, gathering: Gathering, placement: Placement, at: float) -> Iterator[s.AllocationWanted]:
        means, base = self._means, self._means.nonce()
        job = dedicated(means.terms, base, means.directory(base), gathering.owner, gathering.demand, placement)
        for uid, seat in zip(gathering.uids, seats(job, means.directory, len(gathering.uids)), strict=True):
            self._backlog.gangs.pop(uid, None)
            yield s.AllocationWanted(at, seat, placement.offer.name, pod=uid)
