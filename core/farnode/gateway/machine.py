"""The heart: what happened -> what changes and what is to be done. No I/O, no clock, no randomness.

The rules it keeps, whatever arrives in whatever order, late or doubled:

- at most one attempt of a pod is alive, each attempt starts at most once, and a pod gets exactly one terminal status;
- a lost connection ends nothing: an attempt is lost only when the batch system reports its allocation over, the spool
  holds no end of it and, where the batch system cannot prove the processes dead, its runner must have fenced itself;
- every change is durable before any effect of it leaves the gateway (the service sees to that), so every effect can be
  repeated: submissions carry a stored nonce, orders an attempt number, deletions are repeated until confirmed.

`handle` changes the records and returns the effects; `changed` tells the service what to store and publish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from farnode.gateway import stimuli as s
from farnode.gateway.records import AllocationRecord, Deleting, Life, PodRecord, Stage
from farnode.model.allocation import AllocationState, Cause, Phase
from farnode.model.bundle import Bundle
from farnode.model.demand import Demand
from farnode.model.gpu import demand
from farnode.model.image import Image
from farnode.model.status import failed_status, lost_status, restart_counts, status_of, waiting_status
from farnode.wire.messages import EventFrame

NOTES = 64
"""Lines of a pod's story that are kept, the newest."""
ALLOCATION_ENDING = "AllocationEnding"
"""The reason a runner gives when it stopped a pod because its allocation was about to end."""
CUT = (ALLOCATION_ENDING, "RunnerLost")
"""Reasons of ends that are not the pod's own: what they mean is decided when the batch system says why."""
LOST_REASONS = {
    Cause.WALLTIME: "WalltimeExceeded",
    Cause.PREEMPTED: "Preempted",
    Cause.OUT_OF_MEMORY: "OOMKilled",
}


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

    def __bool__(self) -> bool:
        return bool(self.pods or self.allocations or self.bundles)


class Machine:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.pods: dict[str, PodRecord] = {}
        self.bundles: dict[str, Bundle] = {}
        self.demands: dict[str, Demand] = {}
        self.allocations: dict[str, AllocationRecord] = {}
        self.queued: dict[str, None] = {}
        """Uids in stage QUEUED, oldest first."""
        self.bound: dict[str, set[str]] = {}
        """Uids in stage BOUND by allocation."""
        self.changed = Changed()
        self._effects: list[s.Effect] = []
        self._handlers: dict[type, Callable[[Any], None]] = {
            s.Submitted: self._submitted,
            s.InputsUpdated: self._inputs_updated,
            s.DeleteAsked: self._delete_asked,
            s.ImagesReady: self._images_ready,
            s.ImagesFailed: self._images_failed,
            s.AllocationWanted: self._allocation_wanted,
            s.AllocationSubmitted: self._allocation_submitted,
            s.AllocationRefused: self._allocation_refused,
            s.AllocationSeen: self._allocation_seen,
            s.Bound: self._bound,
            s.RunnerConnected: self._runner_connected,
            s.RunnerHeard: self._runner_heard,
            s.RunnerEvents: self._runner_events,
            s.SpoolRead: self._spool_read,
            s.Unsendable: self._unsendable,
            s.Unplaceable: self._unplaceable,
            s.StopAll: self._stop_all,
            s.Tick: self._tick,
        }

    def handle(self, stimulus: s.Stimulus) -> list[s.Effect]:
        self._handlers[type(stimulus)](stimulus)
        effects, self._effects = self._effects, []
        return effects

    def take_changed(self) -> Changed:
        changed, self.changed = self.changed, Changed()
        return changed

    def load(
        self,
        pods: Iterable[PodRecord],
        bundles: Mapping[str, Bundle],
        allocations: Iterable[AllocationRecord],
        at: float,
    ) -> list[s.Effect]:
        """Take over what a store holds after a restart, and go on with what was under way."""
        self.bundles = dict(bundles)
        self.demands = {uid: demand(bundle.pod) for uid, bundle in bundles.items()}
        for allocation in allocations:
            # Nothing was heard while nobody listened: a runner may have been alive until now.
            heard = at if allocation.incarnation else None
            self.allocations[allocation.nonce] = replace(allocation, heard=heard, absent=None)
        for pod in sorted(pods, key=lambda pod: (pod.queued or pod.created, pod.uid)):
            self._index(pod)
            if pod.stage is Stage.IMAGES:
                self._await_images(pod, at)
        for allocation in self.allocations.values():
            if allocation.life is not Life.ENDED and allocation.cancelled:
                self._effects.append(s.CancelAllocation(allocation.nonce))
        effects, self._effects = self._effects, []
        return effects

    # ---- pods ----------------------------------------------------------------------------------------------------

    def _index(self, pod: PodRecord) -> None:
        old = self.pods.get(pod.uid)
        if old is not None and old.stage is Stage.BOUND and old.nonce:
            self.bound[old.nonce].discard(old.uid)
        if old is not None and old.stage is Stage.QUEUED and pod.stage is not Stage.QUEUED:
            self.queued.pop(pod.uid, None)
        self.pods[pod.uid] = pod
        if pod.stage is Stage.QUEUED:
            self.queued.setdefault(pod.uid)
        elif pod.stage is Stage.BOUND and pod.nonce:
            self.bound.setdefault(pod.nonce, set()).add(pod.uid)

    def _save(self, pod: PodRecord) -> PodRecord:
        self._index(pod)
        self.changed.pods.add(pod.uid)
        return pod

    def _note(self, pod: PodRecord, at: float, reason: str, message: str, kind: str = "Normal") -> PodRecord:
        note = {"at": at, "kind": kind, "reason": reason, "message": message}
        return replace(pod, notes=(*pod.notes, note)[-NOTES:])

    def _waiting(self, pod: PodRecord, message: str, at: float, reason: str = "ContainerCreating") -> Mapping[str, Any]:
        return waiting_status(self.bundles[pod.uid].pod, reason, message, pod.status, at)

    def _submitted(self, event: s.Submitted) -> None:
        pod = event.bundle.pod
        if pod.uid in self.pods:
            return
        self.bundles[pod.uid] = event.bundle
        self.demands[pod.uid] = demand(pod)
        self.changed.bundles.add(pod.uid)
        status = waiting_status(pod, "ContainerCreating", "waiting for images", at=event.at)
        record = PodRecord(pod.uid, event.owner, event.at, Stage.IMAGES, status, event.runtime)
        if pod.ignored:
            words = "; ".join(f"{ignored.field}: {ignored.reason}" for ignored in pod.ignored)
            record = self._note(record, event.at, "FieldsIgnored", words)
        self._save(record)
        self._await_images(record, event.at)

    def _await_images(self, record: PodRecord, at: float) -> None:
        if record.runtime == "process":  # has no images to wait for
            containers = self.bundles[record.uid].pod.all_containers
            images = {container.image: Image(container.image) for container in containers}
            self._queue(record, tuple(images.values()), at)
        else:
            self._effects.append(s.FetchImages(record.uid))

    def _queue(self, pod: PodRecord, images: tuple[Image, ...], at: float) -> None:
        status = self._waiting(pod, "waiting for room at the site", at)
        self._save(replace(pod, stage=Stage.QUEUED, queued=at, images=images, failures=0, retry=None, status=status))

    def _inputs_updated(self, event: s.InputsUpdated) -> None:
        pod = self.pods.get(event.uid)
        if pod is not None and event.version > pod.inputs:
            self.bundles[event.uid] = event.bundle
            self.changed.bundles.add(event.uid)
            self._save(replace(pod, inputs=event.version))

    def _images_ready(self, event: s.ImagesReady) -> None:
        pod = self.pods.get(event.uid)
        if pod is None or pod.stage is not Stage.IMAGES:
            return
        wanted = {container.image for container in self.bundles[pod.uid].pod.all_containers}
        if wanted <= {image.reference for image in event.images}:
            self._queue(pod, event.images, event.at)
        else:  # those of an earlier pod with this UID
            self._effects.append(s.FetchImages(pod.uid))

    def _images_failed(self, event: s.ImagesFailed) -> None:
        pod = self.pods.get(event.uid)
        if pod is None or pod.stage is not Stage.IMAGES:
            return
        pod = self._note(pod, event.at, "Failed", event.message, "Warning")
        status = self._waiting(pod, event.message, event.at, event.reason)
        self._save(replace(pod, status=status, failures=pod.failures + 1, retry=event.retry))

    def _unplaceable(self, event: s.Unplaceable) -> None:
        pod = self.pods.get(event.uid)
        if pod is None or pod.stage is not Stage.QUEUED or pod.status.get("message") == event.words:
            return
        pod = self._note(pod, event.at, "FailedScheduling", event.words, "Warning")
        self._save(replace(pod, status=self._waiting(pod, event.words, event.at)))

    def _delete_asked(self, event: s.DeleteAsked) -> None:
        pod = self.pods.get(event.uid)
        if pod is None:
            return
        if pod.stage is Stage.ENDED:
            if event.purge:
                self._remove(pod)
                return
        elif pod.stage is Stage.BOUND:
            self._stop(pod, event)
        else:
            if pod.stage is Stage.PLACED and pod.nonce:
                self._cancel(pod.nonce)
            self._end_unstarted(pod, event.at, "Deleted", "deleted before it started")
            if event.purge:
                self._remove(self.pods[pod.uid])

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

    def _end_unstarted(self, pod: PodRecord, at: float, reason: str, message: str) -> None:
        status = failed_status(self.bundles[pod.uid].pod, pod.status, reason, message, at)
        self._save(replace(pod, stage=Stage.ENDED, ended=at, status=status))

    def _remove(self, pod: PodRecord) -> None:
        del self.pods[pod.uid]
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
        return allocation

    def _remove_allocation(self, allocation: AllocationRecord) -> None:
        del self.allocations[allocation.nonce]
        self.bound.pop(allocation.nonce, None)
        self.changed.allocations.add(allocation.nonce)
        self._effects.append(s.RemoveAllocation(allocation.nonce))

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
        self._store(
            replace(
                allocation, life=Life.ENDED, ended=event.at, cause=Cause.FAILED, reason="Refused", words=event.words
            )
        )
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

    def _cancel(self, nonce: str) -> None:
        allocation = self.allocations.get(nonce)
        if allocation is not None and allocation.life is not Life.ENDED and not allocation.cancelled:
            self._store(replace(allocation, cancelled=True))
            self._effects.append(s.CancelAllocation(nonce))

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
            nodes=state.nodes or allocation.nodes,
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
        pod = self.pods.get(allocation.pod or "")
        if pod is not None and pod.stage is Stage.PLACED and pod.nonce == allocation.nonce:
            self._never_came(pod, allocation, at)

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

    # ---- attempts ------------------------------------------------------------------------------------------------

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
        self._save(
            replace(pod, stage=Stage.BOUND, nonce=allocation.nonce, attempt=pod.attempt + 1, status=status, cut=False)
        )
        self._effects.append(s.StartPod(allocation.nonce, pod.uid))

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
                nodes=allocation.nodes or (event.host,),
                job=event.job or allocation.job,
                phase=Phase.RUNNING.value,
            )
        fence_after = max(allocation.fence_after, self.rules.fence_after)
        allocation = self._store(replace(allocation, heard=event.at, absent=None, fence_after=fence_after))
        self._reconcile(allocation, event)
        pod = self.pods.get(allocation.pod or "")
        if pod is not None and pod.stage is Stage.PLACED and pod.nonce == allocation.nonce and not allocation.cancelled:
            self._begin(pod, allocation, event.at)
        if allocation.pod is not None or allocation.cancelled:
            self._effects.append(s.DrainRunner(allocation.nonce))

    def _reconcile(self, allocation: AllocationRecord, event: s.RunnerConnected) -> None:
        """Set difference between the attempts a runner holds and those it should."""
        held = {(attempt["uid"], attempt["attempt"]) for attempt in event.held if not attempt["ended"]}
        known = {(attempt["uid"], attempt["attempt"]) for attempt in event.held}
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
            if pod.deleting is not None:
                self._effects.append(s.StopPod(allocation.nonce, uid, attempt, pod.deleting.grace))
            elif allocation.given_up is not None:
                self._effects.append(
                    s.StopPod(allocation.nonce, uid, attempt, 0.0, ALLOCATION_ENDING, allocation.words)
                )

    def _runner_heard(self, event: s.RunnerHeard) -> None:
        allocation = self.allocations.get(event.nonce)
        if allocation is not None:  # not stored: after a restart every runner counts as heard at that moment
            self.allocations[event.nonce] = replace(allocation, heard=event.at)

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
        elif self._is_cut(pod, frame) and "started_at" not in frame:  # nothing of it ever ran
            status = self._waiting(pod, "its runner ended before it could start", at)
            self._save(replace(pod, stage=Stage.QUEUED, nonce=None, queued=at, retry=at + 5, status=status))
        elif self._is_cut(pod, frame):
            self._save(replace(pod, cut=True))
        else:
            self._save(replace(pod, stage=Stage.ENDED, ended=at))

    def _is_cut(self, pod: PodRecord, frame: EventFrame) -> bool:
        """Whether the end of its allocation or runner ended the pod, and not itself, its deadline or its deletion."""
        return frame.get("reason") in CUT and frame.get("phase") != "Succeeded" and pod.deleting is None

    def _lose(self, pod: PodRecord, allocation: AllocationRecord, at: float) -> None:
        cause = allocation.cause or Cause.FAILED
        reason = LOST_REASONS.get(cause, "RunnerLost")
        words = allocation.words or f"its allocation ended ({allocation.reason or cause.value})"
        spec = self.bundles[pod.uid].pod
        pod = self._note(pod, at, reason, words, "Warning")
        again = spec.restart_policy != "Never" and pod.deleting is None and pod.attempt < self.rules.max_attempts
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
                )
            )
        else:
            self._save(replace(pod, stage=Stage.ENDED, ended=at, status=status))

    def _unsendable(self, event: s.Unsendable) -> None:
        pod = self.pods.get(event.uid)
        if pod is not None and pod.stage is Stage.BOUND:
            note = self._note(pod, event.at, "Failed", event.words, "Warning")
            self._end_unstarted(note, event.at, "OrderFailed", event.words)

    # ---- time ----------------------------------------------------------------------------------------------------

    def _stop_all(self, event: s.StopAll) -> None:
        for uid in list(self.pods):
            self._delete_asked(s.DeleteAsked(event.at, uid))
        for nonce in list(self.allocations):
            self._cancel(nonce)

    def _tick(self, event: s.Tick) -> None:
        for pod in list(self.pods.values()):
            if pod.stage is Stage.ENDED:
                purge = pod.deleting is not None and pod.deleting.purge
                if purge or (pod.ended is not None and event.at - pod.ended >= self.rules.retention):
                    self._remove(pod)
            elif pod.stage is Stage.IMAGES:
                if pod.retry is not None and event.at >= pod.retry:
                    self._index(replace(pod, retry=None))
                    self._effects.append(s.FetchImages(pod.uid))
            elif pod.stage is not Stage.BOUND:
                self._waited(pod, event.at)
        used = {pod.nonce for pod in self.pods.values()}
        for allocation in list(self.allocations.values()):
            if allocation.life is Life.ENDED and allocation.nonce not in used:
                self._remove_allocation(allocation)
            elif allocation.life is not Life.ENDED and allocation.given_up is not None:
                self._fence(allocation, allocation.given_up, event.at)

    def _waited(self, pod: PodRecord, at: float) -> None:
        timeout = self.demands[pod.uid].queue_timeout
        if timeout is None or pod.queued is None or at - pod.queued < timeout:
            return
        if pod.stage is Stage.PLACED and pod.nonce:
            self._cancel(pod.nonce)
        words = f"waited longer than its queue-timeout of {timeout:g} s; last: {pod.status.get('message', '')}"
        self._end_unstarted(self._note(pod, at, "QueueTimeout", words, "Warning"), at, "QueueTimeout", words)

    def _fence(self, allocation: AllocationRecord, given_up: float, at: float) -> None:
        """An allocation without proof of death is over when its runner ended every attempt, or must have by now."""
        patience = max(allocation.fence_after, self.rules.fence_after) + self.rules.fence_margin
        overdue = at - (allocation.heard or given_up) >= patience
        if overdue or all(self.pods[uid].cut for uid in self.bound.get(allocation.nonce, ())):
            self._effects.append(s.ReadSpool(allocation.nonce))
