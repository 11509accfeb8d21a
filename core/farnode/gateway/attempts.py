"""Attempts: bound to a runner, told to it, ended by it or lost with it."""

from __future__ import annotations

from dataclasses import replace

from farnode.gateway import stimuli as s
from farnode.gateway.records import AllocationRecord, Deleting, Life, PodRecord, Stage
from farnode.gateway.seats import GANG_FAILED, Seats
from farnode.gateway.state import NOTES
from farnode.gateway.views import lost_attempt
from farnode.model.allocation import Cause
from farnode.model.status import lost_status, restart_counts, status_of
from farnode.wire.messages import EventFrame

ALLOCATION_ENDING = "AllocationEnding"
"""The reason a runner gives when it stopped a pod because its allocation was about to end."""
CUT = (ALLOCATION_ENDING, "RunnerLost")
"""Reasons of ends that are not the pod's own: what they mean is decided when the batch system says why."""
NODE_PORTS = "NodePorts"
"""The kubelet's reason for a pod that claims a port which another pod has; a runner gives it before anything ran."""
PAST = 16
"""Lost attempts that are remembered; more than a site lets a pod have."""
LOST_REASONS = {
    Cause.WALLTIME: "WalltimeExceeded",
    Cause.PREEMPTED: "Preempted",
    Cause.OUT_OF_MEMORY: "OOMKilled",
}


class Attempts(Seats):
    """The layer on the records that knows what an attempt is; nothing here asks the batch system for anything."""

    # ---- begun and stopped ---------------------------------------------------------------------------------------

    def _bound(self, event: s.Bound) -> None:
        pod, allocation = self.pods.get(event.uid), self.allocations.get(event.nonce)
        if pod is None or allocation is None or pod.stage is not Stage.QUEUED or allocation.life is not Life.RUNNING:
            return
        self._begin(pod, allocation, event.at)

    def _begin(self, pod: PodRecord, allocation: AllocationRecord, at: float) -> None:
        where = f"job {allocation.job}" if allocation.job else f"allocation {allocation.nonce}"
        pod = self._note(pod, at, "Scheduled", f"bound to {where}")
        status = {**pod.status}
        status.pop("message", None)
        gang = allocation.request.base if allocation.request.together else ""
        self._save(
            replace(
                pod,
                stage=Stage.BOUND,
                nonce=allocation.nonce,
                attempt=pod.attempt + 1,
                status=status,
                cut=False,
                gang=gang,
            )
        )
        self._effects.append(s.StartPod(allocation.nonce, pod.uid))

    def _stop(self, pod: PodRecord, event: s.DeleteAsked) -> None:
        old = pod.deleting
        purge = event.purge or (old is not None and old.purge)
        if old is not None and (event.grace is None or (old.grace is not None and old.grace <= event.grace)):
            self._save(replace(pod, deleting=replace(old, purge=purge)))
            return
        deleting = Deleting(event.at, event.grace, purge)
        pod = self._save(self._note(replace(pod, deleting=deleting), event.at, "Killing", "deletion was asked for"))
        assert pod.nonce is not None
        self._effects.append(s.StopPod(pod.nonce, pod.uid, pod.attempt, event.grace))

    def _unsendable(self, event: s.Unsendable) -> None:
        pod = self.pods.get(event.uid)
        if pod is not None and pod.stage is Stage.BOUND:
            note = self._note(pod, event.at, "Failed", event.words, "Warning")
            self._end_unstarted(note, event.at, "OrderFailed", event.words)
            self._ended_in_gang(self.pods[pod.uid], event.at)

    # ---- what the runner holds and says --------------------------------------------------------------------------

    def _reconcile(self, allocation: AllocationRecord, event: s.RunnerConnected) -> None:
        """Set difference between the attempts a runner holds and those it should."""
        held = {(attempt["uid"], attempt["attempt"]) for attempt in event.held if not attempt["ended"]}
        inputs = {(attempt["uid"], attempt["attempt"]): attempt.get("inputs", 0) for attempt in event.held}
        known = inputs.keys()
        wanted = {(uid, self.pods[uid].attempt) for uid in self.bound.get(allocation.nonce, ())}
        for uid, attempt in sorted(held - wanted):
            self._effects.append(s.StopPod(allocation.nonce, uid, attempt, 0.0))
        for uid, attempt in sorted(known - held - wanted):
            self._effects.append(s.ForgetPod(allocation.nonce, uid, attempt))
        for uid, attempt in sorted(wanted):
            pod = self.pods[uid]
            if pod.cut:  # has ended, and waits for the batch system to say why
                continue
            if (uid, attempt) not in known:
                self._effects.append(s.StartPod(allocation.nonce, uid))
            elif inputs[uid, attempt] < pod.inputs:
                self._effects.append(s.UpdateInputs(allocation.nonce, uid))
            if pod.deleting is not None:
                self._effects.append(s.StopPod(allocation.nonce, uid, attempt, pod.deleting.grace))
            elif pod.halted:
                self._effects.append(s.StopPod(allocation.nonce, uid, attempt, None, GANG_FAILED, pod.halted))
            elif allocation.given_up is not None:
                self._effects.append(
                    s.StopPod(allocation.nonce, uid, attempt, 0.0, ALLOCATION_ENDING, allocation.words)
                )

    def _runner_events(self, event: s.RunnerEvents) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is None or allocation.life is Life.ENDED or allocation.incarnation != event.incarnation:
            return
        acked = allocation.acked
        for frame in event.events:
            if frame["seq"] > acked:
                acked = frame["seq"]
                self._attempt_event(allocation, frame, event.at)
        if acked > allocation.acked:
            self._store(replace(self.allocations[event.nonce], acked=acked, heard=event.at))
        self._effects.append(s.AckEvents(event.nonce, acked))

    def _attempt_event(self, allocation: AllocationRecord, frame: EventFrame, at: float) -> None:
        pod = self.pods.get(frame["uid"])
        ended = frame.get("ended", False)
        if ended:
            self._effects.append(s.ForgetPod(allocation.nonce, frame["uid"], frame["attempt"]))
        if pod is None or pod.stage is not Stage.BOUND:
            return
        if pod.nonce != allocation.nonce or pod.attempt != frame["attempt"]:
            return
        notes = (*pod.notes, *frame.get("notes", ()))[-NOTES:]
        gpus = tuple(frame.get("gpus", pod.gpus))
        pod = replace(
            pod,
            status=status_of(self.bundles[pod.uid].pod, frame, pod.status),
            notes=notes,
            gpus=gpus,
            failures=0,
            logs=frame.get("logs", pod.logs),
        )
        if not ended:
            self._save(pod)
        elif frame.get("reason") == NODE_PORTS and "started_at" not in frame and pod.deleting is None and not pod.gang:
            self._hand_back(pod, frame.get("message", ""), at)
        elif self._is_cut(pod, frame) and "started_at" not in frame and not pod.halted:  # nothing of it ever ran
            status = self._waiting(pod, "its runner ended before it could start", at)
            self._save(replace(pod, stage=Stage.QUEUED, nonce=None, queued=at, retry=at + 5, status=status))
            self._recall_gang(pod, allocation)
        elif self._is_cut(pod, frame):
            self._save(replace(pod, cut=True))
        else:
            self._ended_in_gang(self._save(replace(pod, stage=Stage.ENDED, ended=at)), at)

    def _hand_back(self, pod: PodRecord, words: str, at: float) -> None:
        """Another node may have the ports free, or this one later. Kubernetes would have let it start where it is: a
        pod has an address of its own there."""
        delay = min(300.0, 5.0 * 2.0 ** min(pod.refusals, 10))
        pod = self._note(pod, at, "FailedScheduling", words, "Warning")
        status = self._waiting(pod, words, at)
        self._save(
            replace(
                pod,
                stage=Stage.QUEUED,
                nonce=None,
                refusals=pod.refusals + 1,
                retry=at + delay,
                status=status,
            )
        )

    def _is_cut(self, pod: PodRecord, frame: EventFrame) -> bool:
        """Whether the end of its allocation or runner ended the pod, and not itself, its deadline or its deletion."""
        return frame.get("reason") in CUT and frame.get("phase") != "Succeeded" and pod.deleting is None

    # ---- lost ----------------------------------------------------------------------------------------------------

    def _lose(self, pod: PodRecord, allocation: AllocationRecord, at: float) -> None:
        cause = allocation.cause or Cause.FAILED
        reason = LOST_REASONS.get(cause, "RunnerLost")
        words = allocation.words or f"its allocation ended ({allocation.reason or cause.value})"
        spec = self.bundles[pod.uid].pod
        pod = self._note(pod, at, reason, words, "Warning")
        to_end = pod.deleting is not None or pod.halted
        again = spec.restart_policy != "Never" and not to_end and pod.attempt < self.rules.max_attempts
        status = lost_status(spec, pod.status, reason, words, at, again)
        if again:
            self._save(
                replace(
                    pod,
                    stage=Stage.QUEUED,
                    nonce=None,
                    queued=at,
                    status=status,
                    cut=False,
                    restarts=restart_counts(status),
                    past=(*pod.past, lost_attempt(pod, allocation, reason, words, at))[-PAST:],
                )
            )
            self._recall_gang(pod, allocation)
        else:
            self._ended_in_gang(self._save(replace(pod, stage=Stage.ENDED, ended=at, status=status)), at)
