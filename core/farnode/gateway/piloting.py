"""Asks for pilots and gives them back, as the scheduler's policy says, and tells pods what they wait for. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from farnode.gateway import stimuli as s
from farnode.gateway.allocations import REFUSED
from farnode.gateway.asking import Means, Settling, Spare, Telling
from farnode.gateway.backlog import Backlog
from farnode.gateway.records import AllocationRecord, Life
from farnode.gateway.requests import pilot
from farnode.gateway.rooms import Rooms, pool_of
from farnode.model.offer import Offer
from farnode.scheduler.pilots import Load, Pilot, Place, Pool, Size, Wanted, nodes, unneeded, wanted, whole
from farnode.scheduler.placement import Placement
from farnode.scheduler.queue import Line

SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds before a pool gets another pilot after one that did not begin."""


@dataclass(frozen=True, slots=True)
class Setback:
    """Pilots of a pool that were not taken, or ended before they began, `tries` times after the first and last at `at`;
    none is asked for before `until`. `final`: asking again for the same is of no use."""

    tries: int
    at: float
    until: float
    words: str
    final: bool


class Piloting:
    """Where pilots are refused for good and none runs, pods get allocations of their own: then each hears what is wrong
    with what it asks for, and begins where only the pilot was too large."""

    def __init__(self, means: Means, rooms: Rooms, backlog: Backlog, tell: Telling) -> None:
        self._means = means
        self._terms = means.policy.pilots
        self._rooms = rooms
        self._queue = backlog.pooled
        self._placement = backlog.placed
        self._tell = tell
        self._backlog = backlog
        self._quiet: dict[Pool, float] = {}
        self._setbacks: dict[Pool, Setback] = {}

    def heed(self, record: AllocationRecord) -> None:
        """A pilot's record has changed."""
        pool = pool_of(record.request, record.offer, record.owner)
        last = self._setbacks.get(pool)
        if record.started is not None:
            if last is not None and record.life is Life.RUNNING and record.started > last.at:
                del self._setbacks[pool]
        elif record.ended is not None and not record.cancelled:
            self._setbacks[pool] = _setback(record, record.ended, last)

    def ask(
        self, offers: Sequence[Offer], spare: Spare, settled: Settling, connected: Callable[[str], bool], at: float
    ) -> Iterator[s.Stimulus]:
        records = dict(self._rooms.pilots(connected, at))
        kept = {offer.name for offer in offers if offer.standing and self._means.policy.share}
        pilots = [each for each in records if each.pool.offer not in kept]
        loads: list[Load] = []
        places: dict[Pool, Place] = {}
        busy: set[Pool] = set()
        waits = _words(records)
        lines = [(line, self._placement(line.shape.demand)) for line in self._queue.lines()]
        ready = {self._pool(line, placement) for line, placement in lines if settled(line)}
        for line, placement in lines:
            pool = self._pool(line, placement)
            busy.add(pool)
            if placement.offer.standing or pool not in ready:
                continue
            setback = self._setbacks.get(pool)
            if setback is not None and setback.until > at:
                served = any(each.begun and each.pool == pool for each in pilots)
                yield from self._put_off(line, setback, served, at)
                continue
            words = self._means.hours.may_ask(line.shape.owner, at)
            if words is None:
                loads.append(self._load(line, pool))
                if pool not in places:
                    places[pool] = self._place(pool, placement, offers, spare, at)
            words = words or waits.get(pool, f"waiting for room in the pilots of {pool.offer}")
            yield from self._tell(line, words, at)
        yield from self._give_back(pilots, busy, at)
        terms = replace(self._terms, most=self._terms.most - self._rooms.leaving)
        for each in wanted(loads, pilots, places, at, terms):
            yield from self._asked(each, offers, at)

    def _put_off(self, line: Line, setback: Setback, served: bool, at: float) -> Iterator[s.Unplaceable]:
        """`served`: pilots run there, to which its pods may yet come."""
        if setback.final and not served:
            self._backlog.part(line)
        else:
            yield from self._tell(line, f"a pilot could not begin: {setback.words}", at)

    def _give_back(self, pilots: Sequence[Pilot], busy: Collection[Pool], at: float) -> Iterator[s.DrainAsked]:
        silent = {pilot.pool for pilot in pilots} - set(busy)
        self._quiet = {pool: self._quiet.get(pool, at) for pool in silent}
        hurry = bool(busy) or self._rooms.somebody_queues
        for nonce, words in unneeded(pilots, self._quiet, hurry, at, self._terms):
            yield s.DrainAsked(at, nonce, words)

    def _pool(self, line: Line, placement: Placement) -> Pool:
        owner = None if self._means.policy.share else line.shape.owner
        gpu = (placement.gpu.vendor, placement.gpu.model) if placement.gpu else None
        return Pool(placement.offer.name, owner, placement.account, placement.qos, gpu)

    def _place(self, pool: Pool, placement: Placement, offers: Sequence[Offer], spare: Spare, at: float) -> Place:
        offer = placement.offer
        largest = whole(offer, self._means.policy.cores, placement.gpu)
        count, node = nodes(offer, offers, placement.gpu), whole(offer, None, placement.gpu)
        return Place(largest, count, spare.left.get(offer.name), self._rooms.rate(pool, at), node)

    def _load(self, line: Line, pool: Pool) -> Load:
        demand = line.shape.demand
        size = Size(demand.millicores, demand.memory, demand.gpu.count if demand.gpu else 0)
        need = (demand.walltime or self._means.terms.default_walltime) + demand.grace
        return Load(pool, size, line.count, need)

    def _asked(self, each: Wanted, offers: Sequence[Offer], at: float) -> Iterator[s.AllocationWanted]:
        offer = next(offer for offer in offers if offer.name == each.pool.offer)
        for nonce in self._means.nonces(each.count):
            request = pilot(self._means.terms, nonce, self._means.directory(nonce), each, offer)
            yield s.AllocationWanted(at, request, offer.name, owner=each.pool.owner)


def _setback(record: AllocationRecord, at: float, last: Setback | None) -> Setback:
    """Those that were asked for with the one before count once: none is asked for while its pause lasts."""
    tries = 0 if last is None else last.tries + (at >= last.until)
    until = at + min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(tries, 10))
    return Setback(tries, at, until, record.words or record.reason, record.reason == REFUSED)


def _words(records: Mapping[Pilot, AllocationRecord]) -> Mapping[Pool, str]:
    """What the batch system says of the first pilot of each pool that has not begun."""
    words: dict[Pool, str] = {}
    for each, record in records.items():
        if not each.begun and record.words and each.pool not in words:
            job = f" (job {record.job})" if record.job else ""
            words[each.pool] = f"waiting for a pilot of {each.pool.offer}{job}: {record.words}"
    return words
