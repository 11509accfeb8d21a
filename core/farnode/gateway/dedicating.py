"""Asks for an allocation for each pod that wants one of its own: like pods at once, as one array. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from farnode.gateway import stimuli as s
from farnode.gateway.asking import Means, Settling, Spare, Telling
from farnode.gateway.backlog import Backlog
from farnode.gateway.records import AllocationRecord, Life
from farnode.gateway.requests import dedicated
from farnode.scheduler.placement import Placement
from farnode.scheduler.queue import Line

AT_ONCE = 256
"""Allocations of single pods that are asked for and have not begun."""


class Dedicating:
    def __init__(self, means: Means, backlog: Backlog, tell: Telling) -> None:
        self._means = means
        self._queue = backlog.own
        self._placement = backlog.placed
        self._tell = tell

    def ask(
        self, live: Sequence[AllocationRecord], spare: Spare, settled: Settling, at: float
    ) -> Iterator[s.AllocationWanted | s.Unplaceable]:
        room = AT_ONCE - sum(record.pod is not None and record.life is not Life.RUNNING for record in live)
        for line in [line for line in self._queue.lines() if settled(line)]:
            placement = self._placement(line.shape.demand)
            count = spare.may(placement.offer, min(room, line.count))
            words = self._means.hours.may_ask(line.shape.owner, at)
            if words is None and count > 0:
                room -= count
                spare.spend(placement.offer, count)
                yield from self._one_each(line, count, placement, at)
            if line.count:
                yield from self._tell(line, words or spare.words(placement.offer), at)

    def _one_each(self, line: Line, count: int, placement: Placement, at: float) -> Iterator[s.AllocationWanted]:
        uids, owner, demand = list(islice(line.uids, count)), line.shape.owner, line.shape.demand
        for uid, nonce in zip(uids, self._means.nonces(count), strict=True):
            request = dedicated(self._means.terms, nonce, self._means.directory(nonce), owner, demand, placement)
            self._queue.remove(uid)
            yield s.AllocationWanted(at, request, placement.offer.name, pod=uid)
