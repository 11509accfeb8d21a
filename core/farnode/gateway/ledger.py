"""Who is charged for which allocation: node-seconds by owner and day (UTC).

Pure. The time of an allocation is its owner's, from its runner's coming to its end, in the days in which it fell. A
shared one has no owner: when a pod in it ends, the pod's owner is charged the time since its start times its share of
the node (the largest of cores, memory and GPUs). What is left at the allocation's end is charged to `shared`: idle
time, and attempts that another one followed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.state import Changed

SHARED = "shared"
DAY = 86400.0

Row = tuple[str, str, float]
"""Owner, day (ISO, UTC) and node-seconds to be added."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs, and is not charged yet. A job whose nodes run together has one for each of them."""

    owner: str
    nodes: int
    started: float


class Ledger:
    """Shown every batch of changes, it says what is charged, and keeps the sums. What has ended counts as running until
    it is charged, so that nothing is missing in between."""

    def __init__(self, machine: Machine) -> None:
        self.by_day: defaultdict[tuple[str, str], float] = defaultdict(float)
        """Node-seconds charged, by owner and day."""
        self.running: dict[str, Running] = {}
        """By nonce."""
        self.edition = 0
        """Higher after each change of what runs."""
        self._machine = machine
        self._charged: defaultdict[str, float] = defaultdict(float)
        """Of shared allocations that run, to owners of pods that ended in them."""

    def load(self, rows: Iterable[Row]) -> None:
        """Take over what was stored, when the machine has its records."""
        self._add(rows)
        for record in self._machine.allocations.values():
            if record.life is not Life.ENDED:
                self._run(record)
        for pod in self._machine.pods.values():
            if (shared := self._shared(pod)) is not None:
                self._charged[shared.nonce] += sum(seconds for _, seconds in _of_pod(self._machine, pod, shared))

    def charge(self, changed: Changed) -> list[Row]:
        """To be stored with the records that changed."""
        rows = [*self._pods(changed.pods), *self._allocations(changed)]
        self._add(rows)
        return rows

    def _add(self, rows: Iterable[Row]) -> None:
        for owner, day, seconds in rows:
            self.by_day[owner, day] += seconds

    def _run(self, record: AllocationRecord) -> None:
        if record.started is not None and record.nonce not in self.running:
            nodes = 1 if record.request.together else record.request.nodes
            self.running[record.nonce] = Running(record.owner or SHARED, nodes, record.started)
            self.edition += 1

    def _pods(self, uids: Iterable[str]) -> Iterator[Row]:
        for uid in uids:
            pod = self._machine.pods.get(uid)
            if pod is None or pod.stage is not Stage.ENDED or (record := self._shared(pod)) is None:
                continue
            for day, seconds in _of_pod(self._machine, pod, record):
                self._charged[record.nonce] += seconds
                yield pod.owner, day, seconds

    def _shared(self, pod: PodRecord) -> AllocationRecord | None:
        """The allocation without an owner in which it ran to its end, if that is not charged yet."""
        record = self._machine.allocations.get(pod.nonce or "") if pod.stage is Stage.ENDED else None
        return record if record is not None and record.owner is None and record.nonce in self.running else None

    def _allocations(self, changed: Changed) -> Iterator[Row]:
        for nonce in changed.allocations:
            record = self._machine.allocations.get(nonce) or changed.removed.get(nonce)
            if record is not None and record.life is not Life.ENDED:
                self._run(record)
                continue
            running = self.running.pop(nonce, None)
            if running is None or record is None:
                continue
            self.edition += 1
            charged = self._charged.pop(nonce, 0.0)
            for day, seconds in days(running.started, record.ended or running.started, running.nodes):
                less = min(charged, seconds)
                charged -= less
                yield running.owner, day, seconds - less


def _of_pod(machine: Machine, pod: PodRecord, record: AllocationRecord) -> Iterator[tuple[str, float]]:
    started = pod.status.get("startTime")
    if started is None or pod.ended is None:
        return iter(())
    begun = datetime.fromisoformat(str(started)).timestamp()
    return days(max(begun, record.started or begun), pod.ended, _share(machine, pod, record))


def _share(machine: Machine, pod: PodRecord, record: AllocationRecord) -> float:
    demand, request = machine.demands[pod.uid], record.request
    gpus = request.gpu.count if request.gpu else 0
    parts = (
        demand.millicores / (1000 * max(1, request.cores)),
        demand.memory / request.memory if request.memory else 0.0,
        demand.gpu.count / gpus if demand.gpu and gpus else 0.0,
    )
    return min(1.0, max(parts))


def days(started: float, ended: float, weight: float) -> Iterator[tuple[str, float]]:
    """The seconds between two times, times `weight`, by day."""
    while started < ended:
        until = min(ended, started - started % DAY + DAY)
        yield day_of(started), weight * (until - started)
        started = until


def day_of(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
