"""What a site is doing, as its users see it: allocations and what they are used for, what waits and why, what it cost.

Asked every few seconds by who looks on, while thousands of pods come and go: one pass over those that wait, no more
(20 ms for 30,000).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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

WAITING = (Stage.IMAGES, Stage.QUEUED, Stage.PLACED)
GROUPS = 32
"""Reasons to wait that are told apart; what else there is, is told as one."""

NAMES = 32
"""Pods of one allocation that are named."""


@dataclass(frozen=True, slots=True)
class Activity:
    machine: Machine
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
            if record.life is not Life.ENDED and (record.owner is None or _may_see(caller, record.owner))
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
        mine = (machine.bundles[uid].pod for uid in uids if _may_see(caller, machine.pods[uid].owner))
        return sorted(f"{pod.namespace}/{pod.name}" for pod in mine)[:NAMES]

    def waiting(self, caller: Caller) -> list[WaitingView]:
        """The largest groups first; those that are no more than `GROUPS`."""
        pods, stages = self.machine.pods, self.machine.stages
        created: defaultdict[str, list[float]] = defaultdict(list)
        for pod in (pods[uid] for stage in WAITING for uid in stages[stage]):
            if caller.admin or pod.owner == caller.owner:
                created[self._words(pod)].append(pod.created)
        return _largest(WaitingView(words=words, pods=len(at), oldest=min(at)) for words, at in created.items())

    def _words(self, pod: PodRecord) -> str:
        """Why it waits, without the number of its batch job: what waits for the same is one group."""
        allocation = self.machine.allocations.get(pod.nonce) if pod.nonce is not None else None
        if allocation is not None and allocation.words:
            return f"{allocation.offer}: {allocation.words}"
        return str(pod.status.get("message") or pod.status.get("reason") or "")

    def node_hours(self, caller: Caller, at: float) -> NodeHoursView:
        owners = (caller.owner, SHARED)
        today = {owner: hours for owner, hours in self.hours.today(at).items() if caller.admin or owner in owners}
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


def _may_see(caller: Caller, owner: str) -> bool:
    return caller.admin or owner == caller.owner


def _capacity(record: AllocationRecord) -> Amounts:
    request, given = record.request, record.capacity.get("gpus")
    gpus = request.gpu.count if request.gpu is not None else 0
    memory = request.memory or int(record.capacity.get("memory", 0))
    return Amounts(millicores=1000 * request.cores, memory=memory, gpus=gpus if given is None else len(given))


def _used(demands: Iterable[Demand]) -> Amounts:
    used = Amounts(millicores=0, memory=0, gpus=0)
    for demand in demands:
        used["millicores"] += demand.millicores
        used["memory"] += demand.memory
        used["gpus"] += demand.gpu.count if demand.gpu is not None else 0
    return used


def _largest(groups: Iterable[WaitingView]) -> list[WaitingView]:
    found = sorted(groups, key=lambda group: (-group["pods"], group["oldest"]))
    return found if len(found) <= GROUPS else [*found[: GROUPS - 1], _rest(found[GROUPS - 1 :])]


def _rest(groups: Sequence[WaitingView]) -> WaitingView:
    return WaitingView(
        words=f"{len(groups)} other reasons",
        pods=sum(group["pods"] for group in groups),
        oldest=min(group["oldest"] for group in groups),
    )
