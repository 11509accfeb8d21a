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
from dataclasses import replace
from itertools import takewhile
from typing import Any

from farnode.gateway import stimuli as s
from farnode.gateway.allocations import Allocations
from farnode.gateway.claims import Claims
from farnode.gateway.pulling import Pulling
from farnode.gateway.records import AllocationRecord, ClaimRecord, Life, PodRecord, Stage
from farnode.gateway.state import Rules
from farnode.model.bundle import Bundle
from farnode.model.image import Image


class Machine(Allocations, Claims, Pulling):
    """The top layer: pods as their users know them, and the way in for every stimulus."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._handlers: dict[type, Callable[[Any], None]] = {
            s.Submitted: self._submitted,
            s.InputsUpdated: self._inputs_updated,
            s.DeleteAsked: self._delete_asked,
            s.ImagesReady: self._images_ready,
            s.ImagesNoted: self._images_noted,
            s.ImagesFailed: self._images_failed,
            s.ClaimStored: self._claim_stored,
            s.ClaimsFailed: self._claims_failed,
            s.ClaimDeleteAsked: self._claim_delete_asked,
            s.ClaimGone: self._claim_gone,
            s.AllocationWanted: self._allocation_wanted,
            s.AllocationSubmitted: self._allocation_submitted,
            s.AllocationRefused: self._allocation_refused,
            s.AllocationSeen: self._allocation_seen,
            s.Bound: self._bound,
            s.RunnerConnected: self._runner_connected,
            s.RunnerHeard: self._runner_heard,
            s.RunnerLeft: self._runner_left,
            s.DrainAsked: self._drain_asked,
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

    def load(
        self,
        pods: Iterable[PodRecord],
        bundles: Mapping[str, Bundle],
        allocations: Iterable[AllocationRecord],
        at: float,
        claims: Iterable[ClaimRecord] = (),
    ) -> list[s.Effect]:
        """Take over what a store holds after a restart, and go on with what was under way."""
        self.bundles = dict(bundles)
        self.demands = {uid: bundle.demand for uid, bundle in bundles.items()}
        self.claims = {claim.key: claim for claim in claims}
        self.loaded = at
        for allocation in allocations:
            # Nothing was heard while nobody listened: a runner may have been alive until now.
            heard = at if allocation.incarnation else None
            self.allocations[allocation.nonce] = replace(allocation, heard=heard, absent=None)
            self.moved.allocations[allocation.nonce] = None
        for pod in sorted(pods, key=lambda pod: (pod.ended or pod.queued or pod.created, pod.uid)):
            self._index(pod)
            if pod.stage is Stage.IMAGES:
                self._await_images(pod, at)
        for allocation in self.allocations.values():
            if allocation.life is Life.ENDED:
                continue
            if allocation.cancelled:
                self._effects.append(s.CancelAllocation(allocation.nonce))
            if allocation.cause is not None and allocation.given_up is None:
                self._effects.append(s.ReadSpool(allocation.nonce))
        effects, self._effects = self._effects, []
        return effects

    # ---- pods come, get their images, wait, and are to go --------------------------------------------------------

    def _submitted(self, event: s.Submitted) -> None:
        pod = event.bundle.pod
        if pod.uid in self.pods:
            return
        self.bundles[pod.uid] = event.bundle
        self.demands[pod.uid] = event.bundle.demand
        self.changed.bundles.add(pod.uid)
        record = PodRecord(pod.uid, event.owner, event.at, Stage.IMAGES, {}, event.runtime)
        if pod.ignored:
            words = "; ".join(f"{ignored.field}: {ignored.reason}" for ignored in pod.ignored)
            record = self._note(record, event.at, "FieldsIgnored", words)
        self._await_images(record, event.at)

    def _await_images(self, record: PodRecord, at: float) -> None:
        bundle = self.bundles[record.uid]
        pod = bundle.pod
        if record.runtime == "process" and not pod.image_volumes and not bundle.claims:  # has nothing to wait for
            images = {container.image: Image(container.image) for container in pod.all_containers}
            self._queue(record, tuple(images.values()), at)
            return
        if not record.status:
            record = self._save(replace(record, status=self._waiting(record, "waiting for images", at)))
        self._effects.append(s.FetchImages(record.uid))

    def _queue(self, pod: PodRecord, images: tuple[Image, ...], at: float) -> None:
        status = self._waiting(pod, "waiting for room at the site", at)
        self._save(replace(pod, stage=Stage.QUEUED, queued=at, images=images, failures=0, retry=None, status=status))

    def _inputs_updated(self, event: s.InputsUpdated) -> None:
        pod = self.pods.get(event.uid)
        if pod is not None and pod.stage is not Stage.ENDED and event.version > pod.inputs:
            self.bundles[event.uid] = event.bundle
            self.changed.bundles.add(event.uid)
            self._save(replace(pod, inputs=event.version))
            if pod.stage is Stage.BOUND and pod.nonce:
                self._effects.append(s.UpdateInputs(pod.nonce, pod.uid))

    def _images_ready(self, event: s.ImagesReady) -> None:
        pod = self.pods.get(event.uid)
        if pod is None or pod.stage is not Stage.IMAGES:
            return
        wanted = {reference for reference, _ in self.bundles[pod.uid].pod.image_references}
        if self._is_excluded(pod, event.at):
            return
        if wanted <= {image.reference for image in event.images}:
            self._queue(self._noted(pod, event.notes), event.images, event.at)
        else:  # those of an earlier pod with this UID
            self._effects.append(s.FetchImages(pod.uid))

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
            if pod.stage is Stage.PLACED:
                self._withdraw(pod, event.at)
            self._end_unstarted(pod, event.at, "Deleted", "deleted before it started")
            if event.purge:
                self._remove(self.pods[pod.uid])

    def _stop_all(self, event: s.StopAll) -> None:
        for uid in list(self.pods):
            self._delete_asked(s.DeleteAsked(event.at, uid))
        for nonce in list(self.allocations):
            self._cancel(nonce)

    # ---- time ----------------------------------------------------------------------------------------------------

    def _tick(self, event: s.Tick) -> None:
        self._forget_ended(event.at)
        for uid in list(self.stages[Stage.IMAGES]):
            self._retry_images(self.pods[uid], event.at)
        for uid in list(self.timed):
            self._waited(self.pods[uid], event.at)
        self._reclaim()
        for allocation in list(self.allocations.values()):
            if allocation.life is Life.ENDED and not self.users[allocation.nonce]:
                self._remove_allocation(allocation)
            elif allocation.life is not Life.ENDED and allocation.given_up is not None:
                self._fence(allocation, allocation.given_up, event.at)
            elif allocation.request.together:
                self._watch_seat(allocation, event.at)

    def _forget_ended(self, at: float) -> None:
        """Those whose removal was asked for while they ran, and the oldest beyond their retention."""
        for uid in [uid for uid in self.purges if self.pods[uid].stage is Stage.ENDED]:
            self._remove(self.pods[uid])
        for uid in list(takewhile(lambda uid: self._expired(uid, at), self.stages[Stage.ENDED])):
            self._remove(self.pods[uid])

    def _expired(self, uid: str, at: float) -> bool:
        ended = self.pods[uid].ended
        return ended is not None and at - ended >= self.rules.retention

    def _retry_images(self, pod: PodRecord, at: float) -> None:
        if pod.retry is not None and at >= pod.retry and not self._is_excluded(pod, at):
            self._index(replace(pod, retry=None))
            self._effects.append(s.FetchImages(pod.uid))
        elif pod.refused:
            self._back_off(pod, at)

    def _waited(self, pod: PodRecord, at: float) -> None:
        timeout = self.demands[pod.uid].queue_timeout
        if timeout is None or pod.queued is None or at - pod.queued < timeout:
            return
        if pod.stage is Stage.PLACED:
            self._withdraw(pod, at)
        words = f"waited longer than its queue-timeout of {timeout:g} s; last: {pod.status.get('message', '')}"
        self._end_unstarted(self._note(pod, at, "QueueTimeout", words, "Warning"), at, "QueueTimeout", words)
