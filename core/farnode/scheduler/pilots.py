"""How many pilots of which size are to be asked for, and which are to go: pure.

A pilot is a batch job with a queue wait of its own, so there should be few, and they should not come and go with every
pod. Hence:

- one whole node is asked for per node's worth of waiting pods, less where less waits; a pool that grows pod by pod gets
  pilots each as large as all before them together, so that a hundred pods coming singly need no hundred jobs;
- few are queued at once while none has begun, and more with each that has run for a moment: a mistake does not flood a
  queue, and by then it shows how fast they are. A pool without any may have one all the same: what is queued elsewhere
  may wait for days. Pilots that will have served all that waits before long are enough, for what has room in them;
- no more is asked for than the offer's nodes hold;
- pilots are given back when they have been idle for a while, a short one where others wait; where the rest of the pool
  has a pilot's worth of free room for as long, the emptiest takes no more pods. Work is never killed for it;
- what is queued is withdrawn only when nobody has waited for as long: asking again would lose its place in the queue.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from farnode.model.allocation import GpuRequest
from farnode.model.offer import Offer

KINDS = 256
"""Kinds of pods that are counted in one pool; the rest is counted when these are served."""
PROVEN = 10.0
"""Seconds after which a pilot counts as one that has begun."""
ENOUGH = 60.0
"""Seconds within which the pilots that run may serve all that waits, before more are asked for."""
HURRY = 10.0
"""Seconds for which a pilot may be idle while pods that cannot use it wait."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Pilots that serve the same pods. `owner` None: everybody's. `gpu`: vendor and type of what they have, None for
    pilots without GPUs."""

    offer: str
    owner: str | None
    account: str | None
    qos: str | None
    gpu: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Size:
    """`memory` in bytes."""

    millicores: int
    memory: int
    gpus: int = 0

    def times(self, count: int) -> Size:
        return Size(self.millicores * count, self.memory * count, self.gpus * count)

    def plus(self, other: Size) -> Size:
        return Size(self.millicores + other.millicores, self.memory + other.memory, self.gpus + other.gpus)

    def joined(self, other: Size) -> Size:
        """What holds either."""
        return Size(max(self.millicores, other.millicores), max(self.memory, other.memory), max(self.gpus, other.gpus))

    def at_most(self, whole: Size) -> Size:
        return Size(min(self.millicores, whole.millicores), min(self.memory, whole.memory), min(self.gpus, whole.gpus))

    def within(self, whole: Size) -> bool:
        return self.millicores <= whole.millicores and self.memory <= whole.memory and self.gpus <= whole.gpus

    def holds(self, each: Size) -> int:
        """How many such pods have room in it."""
        pairs = (
            (self.millicores, each.millicores),
            (self.memory, each.memory),
            (self.gpus, each.gpus),
        )
        return min((have // want for have, want in pairs if want), default=0)


NOTHING = Size(0, 0)


@dataclass(frozen=True, slots=True)
class Load:
    """`count` like pods that wait and have room nowhere. `need` seconds each, with their grace."""

    pool: Pool
    each: Size
    count: int
    need: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where pilots of a pool go: `whole` is the largest of them, `nodes` as many there are. `jobs`: how many more batch
    jobs the account may have there, None without limit. `rate`: pods that end there per second now. `node`: all of one
    node, where that is more than `whole`."""

    whole: Size
    nodes: int
    jobs: int | None = None
    rate: float = 0.0
    node: Size | None = None


@dataclass(frozen=True, slots=True)
class Pilot:
    """One that is asked for (`begun` False) or runs, from `since` to `ends_at` (None: without end). `used` is what its
    pods have of `size`; `idle_since` when the last of them ended, None while there are any. `least` seconds are what a
    pod needs here that does not say how long it runs. `away`: its runner is expected back any moment."""

    nonce: str
    pool: Pool
    size: Size
    begun: bool
    used: Size = NOTHING
    idle_since: float | None = None
    since: float | None = None
    ends_at: float | None = None
    least: float = 0.0
    away: bool = False

    @property
    def free(self) -> Size:
        return self.size.plus(self.used.times(-1))


@dataclass(frozen=True, slots=True)
class Terms:
    """Site settings: at most `most` pilots, `first` of them queued while none runs; `idle_after` and `walltime` in
    seconds."""

    most: int
    first: int
    idle_after: float
    walltime: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """`count` pilots of one size; `walltime` in seconds."""

    pool: Pool
    size: Size
    count: int
    walltime: float


def whole(offer: Offer, cores: int | None, gpu: GpuRequest | None) -> Size:
    """The largest pilot of an offer: a node, or so many of its `cores` with their share of its memory."""
    share = min(offer.cores, cores or offer.cores)
    memory = offer.memory * share // offer.cores
    return Size(share * 1000, memory, _devices(offer, gpu.model) if gpu else 0)


def nodes(offer: Offer, offers: Iterable[Offer], gpu: GpuRequest | None) -> int:
    """How many nodes may get pilots that are asked for by this offer: a batch system is told a partition and a type of
    GPU, not a kind of node."""
    alike = [each for each in offers if each.partition == offer.partition]
    if gpu is not None:
        return sum(each.nodes for each in alike if _devices(each, gpu.model) >= _devices(offer, gpu.model))
    return sum(each.nodes for each in alike if each.cores >= offer.cores and each.memory >= offer.memory)


def _devices(offer: Offer, model: str) -> int:
    """Of one node; `model` "" is any."""
    return sum(each.count for each in offer.gpus if model in ("", each.model))


def wanted(
    loads: Iterable[Load], pilots: Sequence[Pilot], places: Mapping[Pool, Place], at: float, terms: Terms
) -> list[Wanted]:
    """What to ask for now."""
    pools: defaultdict[Pool, list[Load]] = defaultdict(list)
    for load in loads:
        if len(pools[load.pool]) < KINDS:
            pools[load.pool].append(load)
    left, may = terms.most - len(pilots), _more(pilots, at, terms)
    jobs: defaultdict[str, int] = defaultdict(int)
    asked: list[Wanted] = []
    for pool, of_pool in pools.items():
        place, mine = places[pool], [pilot for pilot in pilots if pilot.pool == pool]
        one = _wanted(_uncovered(_unserved(of_pool, mine, place.rate), mine), mine, place, terms)
        if one is None:
            continue
        spare = one.count if place.jobs is None else place.jobs - jobs[pool.offer]
        count = min(one.count, left, spare, may if mine else max(1, may))
        if count > 0:
            asked.append(replace(one, count=count))
            left, may = left - count, may - count
            jobs[pool.offer] += count
    return asked


def _more(pilots: Sequence[Pilot], at: float, terms: Terms) -> int:
    """How many more may be queued in all; a pool without any may have one all the same."""
    proven = sum(pilot.since is not None and at - pilot.since >= PROVEN for pilot in pilots)
    return terms.first + 2 * proven - sum(not pilot.begun for pilot in pilots)


def _unserved(loads: Sequence[Load], pilots: Sequence[Pilot], rate: float) -> Sequence[Load]:
    """Those that the pilots which run will not have served before long."""
    sizes = {pilot.size for pilot in pilots if pilot.begun}
    fit = [any(load.each.within(size) for size in sizes) for load in loads]
    if sum(load.count for load, fits in zip(loads, fit, strict=True) if fits) > rate * ENOUGH:
        return loads
    return [load for load, fits in zip(loads, fit, strict=True) if not fits]


def _uncovered(loads: Sequence[Load], pilots: Sequence[Pilot]) -> list[Load]:
    """What is left when all that is asked for has begun, and who is away is back."""
    rooms = [pilot.free for pilot in pilots if pilot.away or not pilot.begun]
    left = []
    for load in loads:
        count = load.count
        for index, room in enumerate(rooms):
            taken = min(count, room.holds(load.each))
            rooms[index] = room.plus(load.each.times(-taken))
            count -= taken
        if count:
            left.append(replace(load, count=count))
    return left


def _wanted(loads: Sequence[Load], pilots: Sequence[Pilot], place: Place, terms: Terms) -> Wanted | None:
    if not loads:
        return None
    whole = place.whole
    for load in loads:
        whole = whole.joined(load.each)
    left = _left(pilots, place, whole)
    together = NOTHING
    for load in loads:
        together = together.plus(load.each.times(load.count))
    size, count = _grown(together, pilots, whole), 1
    if not together.within(whole):
        size, count = whole, math.ceil(sum(load.count / max(1, whole.holds(load.each)) for load in loads))
    if left.holds(size) > 0:
        count = min(count, left.holds(size))
    elif any(left.holds(load.each) > 0 for load in loads):
        size, count = left.at_most(whole), 1
    else:
        return None
    return Wanted(loads[0].pool, size, count, max(terms.walltime, *(load.need for load in loads)))


def _left(pilots: Sequence[Pilot], place: Place, whole: Size) -> Size:
    """What the offer's nodes have beside the pool's pilots; less than nothing where nodes have gone since."""
    left = whole.joined(place.node or whole).times(place.nodes)
    for pilot in pilots:
        left = left.plus(pilot.size.times(-1))
    return left


def _grown(size: Size, pilots: Sequence[Pilot], whole: Size) -> Size:
    """In whole cores, at least what the pool has already, and with the share of the memory that goes with its cores.
    GPUs are too dear to be kept for pods that may come."""
    cores = -(-size.millicores // 1000) * 1000
    if not size.gpus:
        cores = min(whole.millicores, max(cores, sum(pilot.size.millicores for pilot in pilots)))
    memory = max(size.memory, whole.memory * cores // whole.millicores)
    return whole if cores == whole.millicores and not size.gpus else Size(cores, memory, size.gpus)


def unneeded(
    pilots: Iterable[Pilot], quiet: Mapping[Pool, float], hurry: bool, at: float, terms: Terms
) -> list[tuple[str, str]]:
    """Pilots that are to take no more pods, or to be withdrawn where they have not begun, each with the reason.
    `quiet`: since when no pod has waited for a pool; pools where one does are not in it. `hurry`: others wait for what
    idle pilots hold."""
    idle_after = min(terms.idle_after, HURRY) if hurry else terms.idle_after
    gone: list[tuple[str, str]] = []
    pools: defaultdict[Pool, list[Pilot]] = defaultdict(list)
    for pilot in pilots:
        pools[pilot.pool].append(pilot)
    for pool, mine in pools.items():
        idle = {pilot.nonce: words for pilot in mine if (words := _idle(pilot, idle_after, at))}
        gone += idle.items()
        if pool in quiet and at - quiet[pool] >= terms.idle_after:
            rest = [pilot for pilot in mine if pilot.nonce not in idle]
            gone += [(pilot.nonce, "nobody waits for it any more") for pilot in rest if not pilot.begun]
            gone += _emptiest([pilot for pilot in rest if pilot.begun])
    return gone


def _idle(pilot: Pilot, idle_after: float, at: float) -> str:
    if not pilot.begun or pilot.idle_since is None:
        return ""
    if at - pilot.idle_since >= idle_after:
        return f"without pods for {idle_after:g} s"
    if pilot.ends_at is not None and pilot.ends_at - at < pilot.least:
        return "its time is too short for another pod"
    return ""


def _emptiest(pilots: Sequence[Pilot]) -> list[tuple[str, str]]:
    """The one with the least in use, where the others could take as much as it has."""
    if len(pilots) < 2:
        return []
    least = min(pilots, key=lambda pilot: (pilot.used.gpus, pilot.used.millicores))
    free = NOTHING
    for pilot in pilots:
        if pilot is not least:
            free = free.plus(pilot.size).plus(pilot.used.times(-1))
    if not least.size.within(free):
        return []
    return [(least.nonce, "the others have room for all that may come")]
