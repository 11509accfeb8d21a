"""The pods that wait for a place, by what can be done for them: kept in step with the records, never counted anew."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from farnode.gateway.machine import Machine
from farnode.gateway.records import PodRecord, Stage
from farnode.model.demand import Demand
from farnode.model.offer import Offer
from farnode.scheduler.placement import Placement, Unfit, place
from farnode.scheduler.queue import Line, Queue, Shape
from farnode.scheduler.terms import Terms

REMEMBERED = 10_000
"""Placements of different demands."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A pod that fits no offer, and why."""

    uid: str
    words: str


class Backlog:
    """`pooled`: pods that may share an allocation. `own`: those that want one of their own. `gangs`: members of gangs.

    Shapes carry the account that an offer gives to a pod which names none, so that it is charged to no other.
    `pilots`: how pods are matched to them, None where there are none."""

    def __init__(self, machine: Machine, pilots: Terms | None) -> None:
        self.pooled = Queue()
        self.own = Queue()
        self.gangs: dict[str, None] = {}
        self._machine = machine
        self._pilots = pilots
        self._offers: Sequence[Offer] = ()
        self._placements: dict[Demand, Placement | Unfit] = {}
        self._resting: list[tuple[float, str]] = []
        self._news: dict[str, None] = {}

    def know(self, offers: Sequence[Offer]) -> None:
        """Every pod that waits is looked at again."""
        self._offers = offers
        self._placements = {}
        self._news.update(self._machine.queued)

    def heed(self, pods: Collection[str]) -> None:
        """Records of these pods have changed."""
        self._news.update(dict.fromkeys(pods))

    def follow(self, at: float) -> Iterator[Misfit]:
        """Catch up with what changed, and with time."""
        while self._resting and self._resting[0][0] <= at:
            self._news[heapq.heappop(self._resting)[1]] = None
        news, self._news = self._news, {}
        for uid in news:
            pod = self._machine.pods.get(uid)
            self._drop(uid)
            if pod is None or pod.stage is not Stage.QUEUED:
                continue
            if pod.retry is not None and pod.retry > at:
                heapq.heappush(self._resting, (pod.retry, uid))
            else:
                yield from self._add(pod)

    def placement(self, demand: Demand) -> Placement | Unfit:
        found = self._placements.get(demand)
        if found is None:
            if len(self._placements) >= REMEMBERED:
                self._placements.clear()
            found = self._placements[demand] = place(demand, self._offers)
        return found

    def placed(self, demand: Demand) -> Placement:
        """Of pods in line."""
        placement = self.placement(demand)
        assert isinstance(placement, Placement), "what fits nowhere is not in line"
        return placement

    def part(self, line: Line) -> None:
        """Its pods want allocations of their own after all."""
        since, uids = line.since, list(line.uids)
        for uid in uids:
            self.pooled.remove(uid)
            self.own.add(uid, line.shape, since)

    def _drop(self, uid: str) -> None:
        self.pooled.remove(uid)
        self.own.remove(uid)
        self.gangs.pop(uid, None)

    def _add(self, pod: PodRecord) -> Iterator[Misfit]:
        demand = self._machine.demands[pod.uid]
        if not self._offers:
            self._queue(pod, demand, self.pooled if demand.pooled else self.own)
            return
        placement = self.placement(demand)
        if isinstance(placement, Unfit):
            yield Misfit(pod.uid, placement.words)
        elif demand.gang is not None:
            self.gangs[pod.uid] = None
        else:
            terms = self._pilots
            piloted = terms is not None and demand.pooled and _lasts(demand, placement, terms)
            shared = piloted or (placement.offer.standing and demand.nodes == 1)
            charged = replace(demand, account=placement.account)
            self._queue(pod, charged, self.pooled if shared else self.own)

    def _queue(self, pod: PodRecord, demand: Demand, queue: Queue) -> None:
        queue.add(pod.uid, Shape(pod.owner, demand, pod.runtime), pod.queued or pod.created)


def _lasts(demand: Demand, placement: Placement, terms: Terms) -> bool:
    """Whether a new pilot there has time enough for the pod: it begins some time after the pilot."""
    most = placement.offer.max_walltime
    if most is None:
        return True
    need = min(terms.default_need, most / 2) if demand.walltime is None else demand.walltime
    return need + demand.grace + min(terms.margin, most / 10) <= most
