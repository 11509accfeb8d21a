"""Allocations: asked for, told of by the batch system, served by one runner, ended with proof or after the fence."""

from __future__ import annotations

from dataclasses import replace

from farnode.gateway import stimuli as s
from farnode.gateway.attempts import ALLOCATION_ENDING, Attempts
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.model.allocation import AllocationState, Cause, Phase

GANG_PATIENCE = 120.0
"""Seconds from the first runner of a gang's job to the last: nodes of one job boot their runners within seconds."""

WARNED_EARLY = 60.0
"""Seconds by which a batch system may warn sooner than it was asked to: Slurm's `--signal`."""

REFUSED, REFUSED_NOW = "Refused", "RefusedForNow"
"""Reasons of allocations that the batch system did not take: never, or not at this moment."""


class Allocations(Attempts):
    """The layer that knows what an allocation is, and what its end means for the attempts in it."""

    # ---- asked for -----------------------------------------------------------------------------------------------

    def _allocation_wanted(self, event: s.AllocationWanted) -> None:
        pod = self.pods.get(event.pod) if event.pod else None
        if event.pod is not None:
            if pod is None or pod.stage is not Stage.QUEUED:
                return
            status = self._waiting(pod, f"asking for an allocation: {event.offer}", event.at)
            self._save(replace(pod, stage=Stage.PLACED, nonce=event.request.nonce, status=status))
        owner = pod.owner if pod else event.owner
        self._store(AllocationRecord(event.request, event.offer, event.at, pod=event.pod, owner=owner))
        self._effects.append(s.SubmitAllocation(event.request.nonce))

    def _allocation_submitted(self, event: s.AllocationSubmitted) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is None or allocation.life is not Life.WANTED or event.job is None:
            return
        self._store(replace(allocation, life=Life.SUBMITTED, job=event.job, absent=None))
        if allocation.cancelled:
            self._effects.append(s.CancelAllocation(event.nonce))

    def _allocation_refused(self, event: s.AllocationRefused) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is None or allocation.life is not Life.WANTED:
            return
        reason = REFUSED_NOW if event.again else REFUSED
        ended = replace(allocation, life=Life.ENDED, ended=event.at, cause=Cause.FAILED, reason=reason)
        self._store(replace(ended, words=event.words))
        pod = self.pods.get(allocation.pod or "")
        if pod is None or pod.stage is not Stage.PLACED or pod.nonce != event.nonce:
            return
        pod = self._note(pod, event.at, "FailedScheduling", event.words, "Warning")
        if event.again:
            delay = min(300.0, 5.0 * 2.0 ** min(pod.refusals, 10))
            status = self._waiting(pod, event.words, event.at)
            self._save(
                replace(
                    pod,
                    stage=Stage.QUEUED,
                    nonce=None,
                    refusals=pod.refusals + 1,
                    retry=event.at + delay,
                    status=status,
                )
            )
        else:
            self._end_unstarted(pod, event.at, "SubmissionRefused", event.words)

    # ---- what the batch system says ------------------------------------------------------------------------------

    def _allocation_seen(self, event: s.AllocationSeen) -> None:
        allocation, state = self.allocations.get(event.nonce), event.state
        if allocation is None or allocation.life is Life.ENDED or allocation.given_up is not None:
            return
        if allocation.incarnation is not None and state.job and allocation.job not in (None, state.job):
            return  # a second job of this nonce, whose submission was thought lost; its runner is refused
        if state.phase is Phase.ABSENT:
            self._absent(allocation, event.at)
        elif state.phase is Phase.ENDED:
            self._over(self._known(allocation, state), state, event.at)
        else:
            self._told(allocation, self._known(allocation, state), event.at)

    def _known(self, allocation: AllocationRecord, state: AllocationState) -> AllocationRecord:
        life = Life.SUBMITTED if allocation.life is Life.WANTED else allocation.life
        return replace(
            allocation,
            life=life,
            job=state.job or allocation.job,
            absent=None,
            phase=state.phase.value,
            reason=state.reason,
            words=state.words,
            expected_start=state.expected_start,
            nodes=allocation.nodes if allocation.request.together else state.nodes or allocation.nodes,
        )

    def _told(self, old: AllocationRecord, new: AllocationRecord, at: float) -> None:
        """The batch system's words reach the pod that waits for this allocation."""
        if replace(old, absent=None) == new:
            return
        self._store(new)
        pod = self.pods.get(new.pod or "")
        if pod is not None and pod.stage is Stage.PLACED and new.words and new.words != old.words:
            where = f"batch job {new.job}" if new.job else "batch job"
            self._save(replace(pod, status=self._waiting(pod, f"{where}: {new.words}", at)))

    def _absent(self, allocation: AllocationRecord, at: float) -> None:
        """The batch system knows no such job. Right after a submission that may mean nothing yet; later it means
        that the submission never arrived, or that a job we knew was purged after its end."""
        if allocation.absent is None or (allocation.heard or 0.0) > allocation.absent:
            self._store(replace(allocation, absent=at))  # also while its runner lives, whatever the batch system knows
            return
        if at - allocation.absent < self.rules.settle_after:
            return
        if allocation.life is Life.WANTED and allocation.cancelled:
            self._finish(replace(allocation, cause=Cause.CANCELLED), at)
        elif allocation.life is Life.WANTED:
            self._store(replace(allocation, absent=None))
            self._effects.append(s.SubmitAllocation(allocation.nonce))
        else:
            gone = AllocationState(
                Phase.ENDED,
                cause=Cause.FAILED,
                reason="Absent",
                words="the batch system no longer knows the job",
                fenced=False,
            )
            self._over(allocation, gone, at)

    def _over(self, allocation: AllocationRecord, state: AllocationState, at: float) -> None:
        """The batch system calls the allocation ended: read what its runner left, now if its processes are surely
        dead, else when the runner must have fenced itself."""
        state = self._judged(allocation, state, at)
        allocation = replace(
            allocation,
            phase=Phase.ENDED.value,
            cause=state.cause or Cause.FAILED,
            reason=state.reason,
            words=state.words,
        )
        if state.fenced or allocation.incarnation is None:
            self._store(allocation)
            self._effects.append(s.ReadSpool(allocation.nonce))
            return
        self._store(replace(allocation, given_up=at))
        for uid in self.bound.get(allocation.nonce, ()):
            pod = self.pods[uid]
            self._effects.append(s.StopPod(allocation.nonce, uid, pod.attempt, 0.0, ALLOCATION_ENDING, state.words))
        self._effects.append(s.DrainRunner(allocation.nonce))

    def _judged(self, allocation: AllocationRecord, state: AllocationState, at: float) -> AllocationState:
        """A runner that is warned of the end of its time ends its pods, and thereby its job, before that end."""
        near = allocation.ends_at is not None and at >= allocation.ends_at - allocation.request.warning - WARNED_EARLY
        if state.cause is Cause.COMPLETED and near and self.bound.get(allocation.nonce):
            return replace(state, cause=Cause.WALLTIME, words="its time was nearly up")
        return state

    # ---- its runner ----------------------------------------------------------------------------------------------

    def _runner_connected(self, event: s.RunnerConnected) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is None or allocation.life is Life.ENDED:
            return
        if allocation.incarnation not in (None, event.incarnation):
            return
        if allocation.incarnation is None:
            allocation = replace(
                allocation,
                incarnation=event.incarnation,
                life=Life.RUNNING,
                started=event.at,
                capacity=event.capacity,
                ends_at=_ends_at(allocation, event),
                nodes=allocation.nodes or (event.host,),
                job=event.job or allocation.job,
                phase=Phase.RUNNING.value,
                reason="",  # of its wait
                words="",
                expected_start=None,
            )
        fence_after = max(allocation.fence_after, self.rules.fence_after)
        allocation = self._store(replace(allocation, heard=event.at, absent=None, fence_after=fence_after))
        self._reconcile(allocation, event)
        if self._placed(allocation) is not None and not allocation.cancelled:
            self._begin_own(allocation, event.at)
        elif allocation.pod is not None or allocation.cancelled or allocation.draining:
            self._effects.append(s.DrainRunner(allocation.nonce))

    def _begin_own(self, allocation: AllocationRecord, at: float) -> None:
        """The pod of an allocation that was asked for it; members of a gang when the runners of all have come."""
        together = allocation.request.together
        if together and not self._all_came(allocation):
            return
        for seat in list(self._seats(allocation)) if together else [allocation]:
            pod = self._placed(seat)
            assert pod is not None
            self._begin(pod, seat, at)
            self._effects.append(s.DrainRunner(seat.nonce))

    def _runner_heard(self, event: s.RunnerHeard) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is not None:  # not stored: after a restart every runner counts as heard at that moment
            self.allocations[event.nonce] = replace(allocation, heard=event.at)

    def _runner_left(self, event: s.RunnerLeft) -> None:
        """Nothing of it is alive, by its own word: the batch system has nothing to add, unless a pod was cut short,
        whose reason only that system knows."""
        allocation = self.allocations.get(event.nonce)
        if allocation is None or allocation.life is Life.ENDED or allocation.incarnation != event.incarnation:
            return
        if not self.bound.get(event.nonce):
            self._finish(replace(allocation, phase=Phase.ENDED.value, cause=Cause.COMPLETED), event.at)

    def _drain_asked(self, event: s.DrainAsked) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is None or allocation.draining:
            return
        if allocation.life in (Life.WANTED, Life.SUBMITTED):
            self._cancel(event.nonce)
        elif allocation.life is Life.RUNNING:
            self._store(replace(allocation, draining=True, words=event.words))
            self._effects.append(s.DrainRunner(event.nonce))

    # ---- its end -------------------------------------------------------------------------------------------------

    def _fence(self, allocation: AllocationRecord, given_up: float, at: float) -> None:
        """An allocation without proof of death is over when its runner ended every attempt, or must have by now."""
        patience = max(allocation.fence_after, self.rules.fence_after) + self.rules.fence_margin
        overdue = at - (allocation.heard or given_up) >= patience
        if overdue or all(self.pods[uid].cut for uid in self.bound.get(allocation.nonce, ())):
            self._effects.append(s.ReadSpool(allocation.nonce))

    def _spool_read(self, event: s.SpoolRead) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is not None and allocation.life is not Life.ENDED:
            if event.words:
                allocation = replace(allocation, words=f"{allocation.words}: {event.words}")
            self._finish(allocation, event.at)

    def _finish(self, allocation: AllocationRecord, at: float) -> None:
        allocation = self._store(replace(allocation, life=Life.ENDED, ended=at))
        for uid in sorted(self.bound.get(allocation.nonce, ())):
            self._lose(self.pods[uid], allocation, at)
        pod = self._placed(allocation)
        if pod is not None:
            self._never_came(pod, allocation, at)
            if allocation.request.together:
                self._none_begins(allocation, at)

    def _none_begins(self, allocation: AllocationRecord, at: float) -> None:
        """One of a gang's nodes will not come: the others are given back, and their pods wait again with its own."""
        for seat in self._live_seats(allocation):
            self._cancel(seat.nonce)
            other = self._placed(seat)
            if other is not None:
                self._never_came(other, allocation, at)

    def _withdraw(self, pod: PodRecord, at: float) -> None:
        """A pod does not wait any more for the allocation that was asked for it. Without it no other of its gang can
        begin: they wait for one that takes its place."""
        allocation = self.allocations[pod.nonce or ""]
        if not allocation.request.together:
            self._cancel(allocation.nonce)
            return
        words = f"{self.bundles[pod.uid].pod.name} of its gang is gone; waiting for another"
        for seat in list(self._seats(allocation)):
            self._cancel(seat.nonce)
            other = self._placed(seat)
            if other is not None and other.uid != pod.uid:
                other = self._note(other, at, "FailedScheduling", words, "Warning")
                self._save(replace(other, stage=Stage.QUEUED, nonce=None, status=self._waiting(other, words, at)))

    # ---- a node of a gang's job, of which the batch system knows only as a whole ----------------------------------

    def _watch_seat(self, allocation: AllocationRecord, at: float) -> None:
        """A runner that has come waits for the others, but not for ever. One that is not heard of has fenced itself in
        time, as after the failure of its node: the job may go on without it."""
        if allocation.life is not Life.RUNNING or allocation.started is None:
            return
        if self._placed(allocation) is not None:
            if at - max(allocation.started, self.loaded) >= GANG_PATIENCE and not allocation.cancelled:
                self._miss(allocation)
            return
        patience = max(allocation.fence_after, self.rules.fence_after) + self.rules.fence_margin
        if at - (allocation.heard or allocation.started) >= patience and self.bound.get(allocation.nonce):
            words = f"its node has not been heard of for {patience:.0f} s"
            lost = AllocationState(Phase.ENDED, cause=Cause.NODE_FAILURE, reason="Unheard", words=words)
            self._over(allocation, lost, at)

    def _miss(self, allocation: AllocationRecord) -> None:
        """What its job script said, if anything, tells why a runner has not come. The first that came asks for all."""
        if next(seat for seat in self._seats(allocation) if seat.life is Life.RUNNING).nonce != allocation.nonce:
            return
        for seat in list(self._seats(allocation)):
            if seat.life in (Life.WANTED, Life.SUBMITTED):
                words = f"no runner came from node {seat.request.index} of its job in {GANG_PATIENCE:.0f} s"
                self._store(replace(seat, words=words))
                self._effects.append(s.ReadSpool(seat.nonce))

    def _never_came(self, pod: PodRecord, allocation: AllocationRecord, at: float) -> None:
        """The allocation ended before its runner came: no attempt has begun, so trying again is safe."""
        words = f"the batch job ended before it could run the pod: {allocation.words or allocation.reason}"
        pod = self._note(pod, at, "FailedScheduling", words, "Warning")
        if pod.failures + 1 >= self.rules.max_attempts:
            self._end_unstarted(pod, at, "AllocationFailed", words)
            return
        status = self._waiting(pod, words, at)
        retry = at + 5.0 * 2.0 ** min(pod.failures, 10)
        self._save(replace(pod, stage=Stage.QUEUED, nonce=None, failures=pod.failures + 1, retry=retry, status=status))


def _ends_at(allocation: AllocationRecord, event: s.RunnerConnected) -> float | None:
    """As its runner was told, else by what was asked for."""
    told = event.capacity.get("ends_at")
    if isinstance(told, int | float):
        return float(told)
    walltime = allocation.request.walltime
    return None if walltime is None else event.at + walltime
