"""What allocations cost: node-seconds by owner and day, what of them pods left idle, and the cap on them.

Pure. The time of an allocation is its owner's, from its runner's coming to its end, in the days (UTC) in which it fell.
A shared one has no owner: when a pod in it ends, the pod's owner is charged the time since its start times its share of
the node (the largest of cores, memory and GPUs). What is left at the allocation's end is charged to `shared`: idle
time, and attempts that another one followed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.state import Changed
from farnode.model.allocation import AllocationRequest

SHARED = "shared"
DAY = 86400.0
FRESH = 1.0
"""Seconds for which the time of running allocations is not counted again."""

Row = tuple[str, str, float]
"""Owner, day (ISO, UTC) and node-seconds to be added."""


class Usage:
    """Node-seconds that running pilots were not used by pods: the integral over time of 1 - load. It begins anew with
    each start of the gateway, as a counter may."""

    def __init__(self) -> None:
        self._ended: defaultdict[str, float] = defaultdict(float)
        self._levels: dict[str, _Level] = {}

    def note(self, nonce: str, owner: str | None, load: float, at: float) -> None:
        """From now on the pilot is used to `load`, between 0 and 1."""
        level, load = self._levels.get(nonce), min(1.0, max(0.0, load))
        if level is None or level.load != load:
            self.end(nonce, at)
            self._levels[nonce] = _Level(owner or SHARED, load, at)

    def end(self, nonce: str, at: float) -> None:
        level = self._levels.pop(nonce, None)
        if level is not None:
            self._ended[level.owner] += level.idle(at)

    def idle_since(self, nonce: str) -> float | None:
        """None where pods use it, or nothing is known of it."""
        level = self._levels.get(nonce)
        return level.since if level is not None and level.load == 0.0 else None

    def idle_seconds(self, at: float) -> float:
        return sum(self.idle_by_owner(at).values())

    def idle_by_owner(self, at: float) -> Mapping[str, float]:
        idle = defaultdict(float, self._ended)
        for level in self._levels.values():
            idle[level.owner] += level.idle(at)
        return idle


@dataclass(frozen=True, slots=True)
class _Level:
    owner: str
    load: float
    since: float

    def idle(self, at: float) -> float:
        return (1.0 - self.load) * max(0.0, at - self.since)


class Ledger:
    """Turns what changed into what is charged, and keeps the sums. Each end must be shown to it once."""

    def __init__(self, machine: Machine) -> None:
        self.by_day: defaultdict[tuple[str, str], float] = defaultdict(float)
        """Node-seconds charged, by owner and day."""
        self._machine = machine
        self._charged: defaultdict[str, float] = defaultdict(float)
        """Of live shared allocations, to owners of pods that ended in them."""

    def load(self, rows: Iterable[Row]) -> None:
        """Take over what was stored, when the machine has its records."""
        self._add(rows)
        for pod in self._machine.pods.values():
            record = self._shared(pod)
            if record is not None and record.life is not Life.ENDED:
                self._charged[record.nonce] += sum(seconds for _, seconds in _of_pod(self._machine, pod, record))

    def charge(self, changed: Changed) -> list[Row]:
        """To be stored with the records that changed."""
        rows = [*self._pods(changed), *self._allocations(changed.allocations)]
        self._add(rows)
        return rows

    def _add(self, rows: Iterable[Row]) -> None:
        for owner, day, seconds in rows:
            self.by_day[owner, day] += seconds

    def _pods(self, changed: Changed) -> Iterator[Row]:
        for uid in changed.pods:
            pod = self._machine.pods.get(uid)
            record = self._shared(pod) if pod is not None else None
            if pod is None or record is None or (record.life is Life.ENDED and record.nonce not in changed.allocations):
                continue
            for day, seconds in _of_pod(self._machine, pod, record):
                self._charged[record.nonce] += seconds
                yield pod.owner, day, seconds

    def _shared(self, pod: PodRecord) -> AllocationRecord | None:
        """The allocation without an owner in which it ran to its end."""
        record = self._machine.allocations.get(pod.nonce or "") if pod.stage is Stage.ENDED else None
        return record if record is not None and record.owner is None else None

    def _allocations(self, nonces: Iterable[str]) -> Iterator[Row]:
        for nonce in nonces:
            record = self._machine.allocations.get(nonce)
            if record is None or record.life is not Life.ENDED or record.started is None:
                continue
            days = _days(record.started, record.ended or record.started, nodes(record.request))
            charged = self._charged.pop(nonce, 0.0)
            for day, seconds in days:
                less = min(charged, seconds)
                charged -= less
                yield record.owner or SHARED, day, seconds - less


class NodeHours:
    """Node-hours by owner, ended and running, and the cap on those of a day (None: no cap). `stored` tells the
    node-seconds charged so far by owner and day."""

    def __init__(
        self, cap: float | None, stored: Callable[[], Mapping[tuple[str, str], float]], machine: Machine
    ) -> None:
        self.cap = cap
        self._stored = stored
        self._machine = machine
        self._running: Mapping[str, tuple[float, float]] = {}
        self._counted = float("-inf")
        self._shown: dict[str, float] = {}

    def spent_today(self, owner: str, at: float) -> float:
        """Hours since midnight UTC."""
        return (self._stored().get((owner, _day(at)), 0.0) + self._now(at).get(owner, (0.0, 0.0))[1]) / 3600

    def today(self, at: float) -> Mapping[str, float]:
        """Hours since midnight UTC, of every owner that has any."""
        day = _day(at)
        owners = {owner for owner, of in self._stored() if of == day} | self._now(at).keys()
        return {owner: self.spent_today(owner, at) for owner in sorted(owners)}

    def may_ask(self, owner: str, at: float) -> str | None:
        """Why no allocation may begin for this owner now, in words."""
        if self.cap is None or (spent := self.spent_today(owner, at)) < self.cap:
            return None
        words = f"owner {owner} has used {spent:.1f} of {self.cap:g} node-hours today"
        return f"{words}; new allocations begin after midnight UTC"

    def seconds(self, at: float) -> Mapping[str, float]:
        """All node-seconds by owner, for a counter: what was once shown is never more than what is shown later, though
        an end becomes known a moment after it, or is charged to somebody else."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (owner, _), seconds in self._stored().items():
            sums[owner] += seconds
        for owner, (seconds, _) in self._now(at).items():
            sums[owner] += seconds
        self._shown = {owner: max(total, self._shown.get(owner, 0.0)) for owner, total in sums.items()}
        return self._shown

    def _now(self, at: float) -> Mapping[str, tuple[float, float]]:
        """By owner the node-seconds of running allocations, all of them and those since midnight."""
        if not 0.0 <= at - self._counted < FRESH:
            self._running, self._counted = _running(self._machine.allocations.values(), at), at
        return self._running


def nodes(request: AllocationRequest) -> int:
    """Of one record: a job whose nodes run together has a record for each."""
    return 1 if request.together else request.nodes


def _running(records: Iterable[AllocationRecord], at: float) -> Mapping[str, tuple[float, float]]:
    midnight = at - at % DAY
    sums: dict[str, tuple[float, float]] = {}
    for record in records:
        if record.started is None or record.life is Life.ENDED:
            continue
        count, owner = nodes(record.request), record.owner or SHARED
        whole, today = sums.get(owner, (0.0, 0.0))
        sums[owner] = (
            whole + count * max(0.0, at - record.started),
            today + count * max(0.0, at - max(record.started, midnight)),
        )
    return sums


def _of_pod(machine: Machine, pod: PodRecord, record: AllocationRecord) -> Iterator[tuple[str, float]]:
    started = pod.status.get("startTime")
    if started is None or pod.ended is None:
        return iter(())
    begun = datetime.fromisoformat(str(started)).timestamp()
    return _days(max(begun, record.started or begun), pod.ended, _share(machine, pod, record))


def _share(machine: Machine, pod: PodRecord, record: AllocationRecord) -> float:
    demand, request = machine.demands[pod.uid], record.request
    gpus = request.gpu.count if request.gpu else 0
    parts = (
        demand.millicores / (1000 * max(1, request.cores)),
        demand.memory / max(1, request.memory),
        demand.gpu.count / gpus if demand.gpu and gpus else 0.0,
    )
    return min(1.0, max(parts))


def _days(started: float, ended: float, weight: float) -> Iterator[tuple[str, float]]:
    """The seconds between two times, times `weight`, by day."""
    while started < ended:
        until = min(ended, started - started % DAY + DAY)
        yield _day(started), weight * (until - started)
        started = until


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
