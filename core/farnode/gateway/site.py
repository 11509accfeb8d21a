"""What a site is doing, as its users see it: allocations and what they are used for, what waits and why, what it cost.

Asked every few seconds by who looks on, while thousands of pods come and go: what is alike is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from farnode.gateway.ledger import SHARED
from farnode.gateway.machine import Machine
from farnode.gateway.metrics import Figures, render
from farnode.gateway.port import Caller
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.timings import Timings
from farnode.gateway.usage import NodeHours, Usage
from farnode.gateway.views import allocation_view
from farnode.model.api import Amounts, CallsView, NodeHoursView, SiteAllocation, WaitingView
from farnode.model.demand import Demand
from farnode.providers.port import Calls
from farnode.scheduler.queue import Queue

GROUPS = 32
"""Reasons to wait that are told apart; what else there is, is told as one."""

NAMES = 32
"""Pods of one allocation that are named."""


@dataclass(frozen=True, slots=True)
class Activity:
    machine: Machine
    queues: Sequence[Queue]
    """Pods that wait in line; what the first of a line waits for, all of it do."""
    hours: NodeHours
    usage: Usage
    timings: Timings
    calls: Callable[[], Calls | None]
    """None where the batch system need not be spared any."""

    def allocations(self, caller: Caller, at: float) -> list[SiteAllocation]:
        """Those that have not ended."""
        return [
            self._allocation(record, caller, at)
            for record in self.machine.allocations.values()
            if record.life is not Life.ENDED and (record.owner is None or caller.sees(record.owner))
        ]

    def _allocation(self, record: AllocationRecord, caller: Caller, at: float) -> SiteAllocation:
        machine = self.machine
        uids = machine.bound.get(record.nonce, ())
        view: SiteAllocation = {
            **allocation_view(record),  # type: ignore[typeddict-item]  # has no other keys than it says
            "askedAt": record.created,
            "pods": len(uids),
            "running": self._names(caller, uids),
            "draining": record.draining or record.cancelled,
            "capacity": _capacity(record),
            "used": _used(machine.demands[uid] for uid in uids),
        }
        if record.owner is not None:
            view["owner"] = record.owner
        if record.ends_at is not None:
            view["endsAt"] = record.ends_at
        idle = self.usage.idle_since(record.nonce)
        if idle is not None and not uids:
            view["idleSeconds"] = max(0.0, at - idle)
        return view

    def _names(self, caller: Caller, uids: Iterable[str]) -> list[str]:
        machine = self.machine
        mine = (machine.bundles[uid].pod for uid in uids if caller.sees(machine.pods[uid].owner))
        return sorted(f"{pod.namespace}/{pod.name}" for pod in mine)[:NAMES]

    def waiting(self, caller: Caller) -> list[WaitingView]:
        """The largest groups first; those that are no more than `GROUPS`."""
        pods, groups = self.machine.pods, _Groups()
        for line in (line for queue in self.queues for line in queue.lines()):
            if caller.sees(line.shape.owner):
                groups.add(self._words(pods[line.head]), line.count, line.since)
        for pod in map(pods.__getitem__, self._alone()):
            if caller.sees(pod.owner):
                groups.add(self._words(pod), 1, pod.queued or pod.created)
        return groups.largest()

    def line(self, uid: str) -> WaitingView | None:
        """Those that stand in line with this pod, itself too; None where it stands in none."""
        for queue in self.queues:
            line = next((line for line in queue.lines() if uid in line.uids), None) if uid in queue else None
            if line is not None:
                words = self._words(self.machine.pods[line.head])
                return WaitingView(words=words, pods=line.count, oldest=line.since)
        return None

    def _alone(self) -> Iterator[str]:
        """Uids of pods that wait in no line."""
        stages = self.machine.stages
        yield from stages[Stage.IMAGES]
        yield from stages[Stage.PLACED]
        if sum(map(len, self.queues)) < len(stages[Stage.QUEUED]):
            yield from (uid for uid in stages[Stage.QUEUED] if not any(uid in queue for queue in self.queues))

    def _words(self, pod: PodRecord) -> str:
        """Why it waits, without the number of its batch job: what waits for the same is one group."""
        allocation = self.machine.allocations.get(pod.nonce) if pod.nonce is not None else None
        if allocation is not None and allocation.words:
            return f"{allocation.offer}: {allocation.words}"
        return str(pod.status.get("message") or pod.status.get("reason") or "")

    def node_hours(self, caller: Caller, at: float) -> NodeHoursView:
        everybodys = self.hours.today(at).items()
        today = {owner: hours for owner, hours in everybodys if owner == SHARED or caller.sees(owner)}
        view = NodeHoursView(today=today)
        if self.hours.cap is not None:
            view["cap"] = self.hours.cap
        return view

    def batch_calls(self) -> CallsView | None:
        calls = self.calls()
        if calls is None:
            return None
        return CallsView(
            burst=calls.burst,
            perMinute=calls.per_minute,
            left=calls.left,
            made=dict(calls.made),
            waiting=calls.waiting,
        )

    def metrics(self, runners: int, healthy: bool, at: float) -> str:
        figures = Figures(
            runners,
            healthy,
            self.hours.seconds(at),
            self.usage.idle_by_owner(at),
            self.calls(),
            self.timings.waits,
            self.timings.starts,
        )
        return render(self.machine, figures)


def _capacity(record: AllocationRecord) -> Amounts:
    request, given = record.request, record.capacity.get("gpus")
    gpus = request.gpu.count if request.gpu is not None else 0
    return Amounts(millicores=1000 * request.cores, memory=request.memory, gpus=gpus if given is None else len(given))


def _used(demands: Iterable[Demand]) -> Amounts:
    used = Amounts(millicores=0, memory=0, gpus=0)
    for demand in demands:
        used["millicores"] += demand.millicores
        used["memory"] += demand.memory
        used["gpus"] += demand.gpu.count if demand.gpu is not None else 0
    return used


class _Groups:
    def __init__(self) -> None:
        self._found: dict[str, WaitingView] = {}

    def add(self, words: str, pods: int, since: float) -> None:
        group = self._found.setdefault(words, WaitingView(words=words, pods=0, oldest=since))
        group["pods"] += pods
        group["oldest"] = min(group["oldest"], since)

    def largest(self) -> list[WaitingView]:
        found = sorted(self._found.values(), key=lambda group: (-group["pods"], group["oldest"]))
        return found if len(found) <= GROUPS else [*found[: GROUPS - 1], _rest(found[GROUPS - 1 :])]


def _rest(groups: Sequence[WaitingView]) -> WaitingView:
    return WaitingView(
        words=f"{len(groups)} other reasons",
        pods=sum(group["pods"] for group in groups),
        oldest=min(group["oldest"] for group in groups),
    )
