"""What the machine holds, and the few ways in which a record changes, so that the indexes agree with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from farnode.gateway import stimuli as s
from farnode.gateway.records import AllocationRecord, ClaimKey, ClaimRecord, Life, PodRecord, Stage
from farnode.model.bundle import Bundle
from farnode.model.demand import Demand
from farnode.model.status import failed_status, waiting_status

NOTES = 64
"""Lines of a pod's story that are kept, the newest."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Site settings the machine goes by; all in seconds but `max_attempts`."""

    fence_after: float = 1800.0
    fence_margin: float = 60.0
    settle_after: float = 30.0
    max_attempts: int = 3
    retention: float = 7 * 86400.0


@dataclass(slots=True)
class Changed:
    """Records to be stored; a uid or nonce that is here and not in the machine was removed."""

    pods: set[str] = field(default_factory=set)
    owners: dict[str, str] = field(default_factory=dict)
    """Owners of removed pods."""
    bundles: set[str] = field(default_factory=set)
    allocations: set[str] = field(default_factory=set)
    removed: dict[str, AllocationRecord] = field(default_factory=dict)
    """Allocations that were removed, as they were last."""
    claims: set[ClaimKey] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.pods or self.allocations or self.bundles or self.claims)


@dataclass(slots=True)
class Moved:
    """Uids and nonces of records that were replaced or removed, for who keeps an index of its own."""

    pods: dict[str, None] = field(default_factory=dict)
    allocations: dict[str, None] = field(default_factory=dict)


class State:
    """Records and their indexes. `changed` tells what is to be stored, `_effects` what is to be done then. Nothing here
    or above it may look at every pod: there are tens of thousands, and something happens every millisecond."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.pods: dict[str, PodRecord] = {}
        self.bundles: dict[str, Bundle] = {}
        self.demands: dict[str, Demand] = {}
        self.allocations: dict[str, AllocationRecord] = {}
        self.claims: dict[ClaimKey, ClaimRecord] = {}
        self.stages: dict[Stage, dict[str, None]] = {stage: {} for stage in Stage}
        """Uids by stage, in the order in which they came to it."""
        self.timed: dict[str, None] = {}
        """Uids of those that wait, and not longer than their queue-timeout."""
        self.purges: set[str] = set()
        """Uids of those whose record goes when they have ended."""
        self.users: Counter[str] = Counter()
        """How many pods name an allocation, ended ones too."""
        self.live: Counter[str] = Counter()
        """How many pods of an owner have not ended."""
        self.bound: dict[str, set[str]] = {}
        """Uids in stage BOUND by allocation."""
        self.changed = Changed()
        self.moved = Moved()
        self._effects: list[s.Effect] = []

    @property
    def queued(self) -> dict[str, None]:
        return self.stages[Stage.QUEUED]

    def take_moved(self) -> Moved:
        moved, self.moved = self.moved, Moved()
        return moved

    def take_changed(self) -> Changed:
        changed, self.changed = self.changed, Changed()
        return changed

    # ---- pods ----------------------------------------------------------------------------------------------------

    def _index(self, pod: PodRecord) -> None:
        old = self.pods.get(pod.uid)
        self.pods[pod.uid] = pod
        if pod.deleting is not None and pod.deleting.purge:
            self.purges.add(pod.uid)
        if old is not None and old.stage is pod.stage and old.nonce == pod.nonce and old.retry == pod.retry:
            return
        if old is not None:
            self._unindex(old, pod.stage)
        self.stages[pod.stage].setdefault(pod.uid)
        self.live[pod.owner] += pod.stage is not Stage.ENDED
        if pod.nonce:
            self.users[pod.nonce] += 1
        if pod.stage is Stage.BOUND and pod.nonce:
            self.bound.setdefault(pod.nonce, set()).add(pod.uid)
        if pod.stage in (Stage.QUEUED, Stage.PLACED) and self.demands[pod.uid].queue_timeout is not None:
            self.timed.setdefault(pod.uid)
        self.moved.pods[pod.uid] = None

    def _unindex(self, old: PodRecord, stage: Stage | None = None) -> None:
        """`stage`: the one it comes to, where it keeps its place if it was there."""
        if old.stage is not stage:
            del self.stages[old.stage][old.uid]
        self.live[old.owner] -= old.stage is not Stage.ENDED
        if old.nonce:
            self.users[old.nonce] -= 1
        if old.stage is Stage.BOUND and old.nonce:
            self.bound[old.nonce].discard(old.uid)
        self.timed.pop(old.uid, None)
        self.moved.pods[old.uid] = None

    def _save(self, pod: PodRecord) -> PodRecord:
        self._index(pod)
        self.changed.pods.add(pod.uid)
        return pod

    def _note(self, pod: PodRecord, at: float, reason: str, message: str, kind: str = "Normal") -> PodRecord:
        note = {"at": at, "kind": kind, "reason": reason, "message": message}
        return replace(pod, notes=(*pod.notes, note)[-NOTES:])

    def _waiting(self, pod: PodRecord, message: str, at: float, reason: str = "ContainerCreating") -> Mapping[str, Any]:
        return waiting_status(self.bundles[pod.uid].pod, reason, message, pod.status, at)

    def _end_unstarted(self, pod: PodRecord, at: float, reason: str, message: str) -> None:
        status = failed_status(self.bundles[pod.uid].pod, pod.status, reason, message, at)
        self._save(replace(pod, stage=Stage.ENDED, ended=at, status=status))

    def _remove(self, pod: PodRecord) -> None:
        del self.pods[pod.uid]
        self._unindex(pod)
        self.purges.discard(pod.uid)
        self.bundles.pop(pod.uid, None)
        self.demands.pop(pod.uid, None)
        self.changed.pods.add(pod.uid)
        self.changed.owners[pod.uid] = pod.owner
        self.changed.bundles.add(pod.uid)
        self._effects.append(s.RemovePod(pod.uid, pod.nonce))

    # ---- allocations ---------------------------------------------------------------------------------------------

    def _store(self, allocation: AllocationRecord) -> AllocationRecord:
        self.allocations[allocation.nonce] = allocation
        self.changed.allocations.add(allocation.nonce)
        self.moved.allocations[allocation.nonce] = None
        return allocation

    def _cancel(self, nonce: str) -> None:
        allocation = self.allocations.get(nonce)
        if allocation is not None and allocation.life is not Life.ENDED and not allocation.cancelled:
            self._store(replace(allocation, cancelled=True))
            self._effects.append(s.CancelAllocation(nonce))

    def _remove_allocation(self, allocation: AllocationRecord) -> None:
        del self.allocations[allocation.nonce]
        self.bound.pop(allocation.nonce, None)
        self.users.pop(allocation.nonce, None)
        self.changed.allocations.add(allocation.nonce)
        self.changed.removed[allocation.nonce] = allocation
        self.moved.allocations[allocation.nonce] = None
        self._effects.append(s.RemoveAllocation(allocation.nonce))
