"""Seats: the nodes of a gang's job, an allocation record each, and what the end of one member means for the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from farnode.gateway import stimuli as s
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.state import Rules, State

GANG_FAILED = "GangMemberFailed"
"""Why a pod ended that was well itself."""


class Seats(State):
    """The layer on the records that knows who belongs together."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self.gangs: dict[str, dict[str, None]] = {}
        """Uids of those that began together, by the base of their job."""
        self._missing: dict[str, int] = {}
        """The rank whose runner was missing when it was looked last, by the base of a job that has not begun."""
        self.loaded = 0.0
        """When the records were taken over from the store."""

    def _index(self, pod: PodRecord) -> None:
        old = self.pods.get(pod.uid)
        if old is None or old.gang != pod.gang:
            self._leave(old)
            if pod.gang:
                self.gangs.setdefault(pod.gang, {})[pod.uid] = None
        super()._index(pod)

    def _remove(self, pod: PodRecord) -> None:
        self._leave(pod)
        super()._remove(pod)

    def _remove_allocation(self, allocation: AllocationRecord) -> None:
        self._missing.pop(allocation.request.base, None)
        super()._remove_allocation(allocation)

    def _leave(self, pod: PodRecord | None) -> None:
        if pod is not None and pod.gang:
            del self.gangs[pod.gang][pod.uid]
            if not self.gangs[pod.gang]:
                del self.gangs[pod.gang]

    # ---- who ------------------------------------------------------------------------------------------------------

    def gang_size(self, pod: PodRecord) -> int:
        """How many pods start together with this one, itself included: all of its gang, and when they start again those
        that have not ended."""
        gang = self.demands[pod.uid].gang
        if gang is None:
            return 1
        if not pod.gang:
            return gang.size
        return sum(self._starts_again(self.pods[uid], gang.failure) for uid in self.gangs[pod.gang])

    def _starts_again(self, pod: PodRecord, failure: str) -> bool:
        """Whether it waits for the others of its gang, or will: those that may fail alone go on alone, too."""
        if failure == "ignore" and pod.stage is Stage.BOUND:
            allocation = self.allocations[pod.nonce or ""]
            return pod.cut or allocation.cause is not None
        return pod.stage is not Stage.ENDED and (failure == "stop" or pod.stage is Stage.QUEUED)

    def _seats(self, allocation: AllocationRecord) -> Iterator[AllocationRecord]:
        """Those of a gang's job, by rank, as far as there are records of them."""
        request = allocation.request
        for rank in range(request.nodes):
            seat = self.allocations.get(f"{request.base}-{rank}")
            if seat is not None:
                yield seat

    def _live_seats(self, allocation: AllocationRecord) -> list[AllocationRecord]:
        """Those that nobody has called ended."""
        return [seat for seat in self._seats(allocation) if seat.life is not Life.ENDED and seat.cause is None]

    def _all_came(self, allocation: AllocationRecord) -> bool:
        """Whether every node of a gang's job has its runner, and every one of its pods still waits for that. They are
        counted from the first that was missing the last time, and all once more when none is."""
        base, ranks = allocation.request.base, range(allocation.request.nodes)
        for rank in ranks[self._missing.get(base, 0) :]:
            if not self._waits_at(base, rank):
                self._missing[base] = rank
                return False
        return all(self._waits_at(base, rank) for rank in ranks)

    def _waits_at(self, base: str, rank: int) -> bool:
        """Whether a runner has come there, and its pod has not begun."""
        seat = self.allocations.get(f"{base}-{rank}")
        if seat is None or seat.life is not Life.RUNNING or seat.cancelled or seat.cause is not None:
            return False
        return self._placed(seat) is not None

    def _placed(self, allocation: AllocationRecord) -> PodRecord | None:
        """The pod it was asked for, which still waits for it."""
        pod = self.pods.get(allocation.pod or "")
        waits = pod is not None and pod.stage is Stage.PLACED and pod.nonce == allocation.nonce
        return pod if waits else None

    # ---- what an end means for the others -------------------------------------------------------------------------

    def _ended_in_gang(self, pod: PodRecord, at: float) -> None:
        """A member that has failed ends the others, where its gang has it so."""
        gang = self.demands[pod.uid].gang
        if gang is None or gang.failure != "stop" or not pod.gang or pod.halted:
            return
        if pod.status.get("phase") != "Failed":
            return
        why = pod.status.get("reason") or pod.status.get("message") or "it failed"
        name = self.bundles[pod.uid].pod.name
        words = f"member {name} of gang {gang.name} {'was deleted' if pod.deleting else f'failed: {why}'}"
        for uid in list(self.gangs[pod.gang]):
            self._end_with_gang(self.pods[uid], words, at)

    def _recall_gang(self, pod: PodRecord, allocation: AllocationRecord) -> None:
        """A member starts again: so do the others, unless their gang leaves them alone."""
        gang = self.demands[pod.uid].gang
        if gang is not None and gang.failure == "stop" and allocation.request.together:
            for seat in self._live_seats(allocation):
                self._cancel(seat.nonce)

    def _end_with_gang(self, pod: PodRecord, words: str, at: float) -> None:
        if pod.stage is Stage.ENDED or pod.deleting is not None or pod.halted:
            return
        pod = self._note(replace(pod, halted=words), at, "Killing", words, "Warning")
        if pod.stage is not Stage.BOUND:
            self._end_unstarted(pod, at, GANG_FAILED, words)
            return
        self._save(pod)
        assert pod.nonce is not None
        self._effects.append(s.StopPod(pod.nonce, pod.uid, pod.attempt, None, GANG_FAILED, words))
