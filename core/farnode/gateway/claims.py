"""Claims of storage in the machine: who uses them, and when they go. The rules of Kubernetes' persistent volumes.

A claim is its owner's until it is deleted; one that was made for a pod goes when that pod has ended.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from farnode.gateway import stimuli as s
from farnode.gateway.records import ClaimKey, ClaimRecord, PodRecord, Stage
from farnode.gateway.state import State

EXCLUSIVE = "ReadWriteOncePod"
AGAIN = 10.0
"""Seconds after which a pod that waits for another one's claim looks again."""


class Claims(State):
    """The layer on the records that knows claims."""

    def claim_keys(self, pod: PodRecord) -> list[ClaimKey]:
        bundle = self.bundles[pod.uid]
        return [ClaimKey(pod.owner, bundle.pod.namespace, wanted.name) for wanted in bundle.claims]

    def claims_in_use(self) -> defaultdict[ClaimKey, list[PodRecord]]:
        """Of every claim that pods use which have not ended, these pods."""
        users: defaultdict[ClaimKey, list[PodRecord]] = defaultdict(list)
        for pod in self.pods.values():
            if pod.stage is not Stage.ENDED:
                for key in self.claim_keys(pod):
                    users[key].append(pod)
        return users

    def claim_users(self, key: ClaimKey) -> list[PodRecord]:
        """The pods that use it and have not ended."""
        live = (pod for pod in self.pods.values() if pod.stage is not Stage.ENDED and pod.owner == key.owner)
        return [pod for pod in live if key in self.claim_keys(pod)]

    def _claim_stored(self, event: s.ClaimStored) -> None:
        """What was said of its deletion meanwhile stands."""
        known = self.claims.get(event.claim.key)
        self._keep(replace(event.claim, deleting=event.claim.deleting or (known is not None and known.deleting)))

    def _claim_delete_asked(self, event: s.ClaimDeleteAsked) -> None:
        claim = self.claims.get(event.key)
        if claim is not None and not self.claim_users(event.key):
            self._keep(replace(claim, deleting=True))
            self._effects.append(s.ReclaimClaim(event.key))

    def _claim_gone(self, event: s.ClaimGone) -> None:
        if self.claims.pop(event.key, None) is not None:
            self.changed.claims.add(event.key)

    def _claims_failed(self, event: s.ClaimsFailed) -> None:
        pod = self.pods.get(event.uid)
        if pod is None or pod.stage is not Stage.IMAGES:
            return
        pod = self._note(pod, event.at, "FailedMount", event.message, "Warning")
        status = self._waiting(pod, event.message, event.at)
        self._save(replace(pod, status=status, failures=pod.failures + 1, retry=event.retry))

    def _keep(self, claim: ClaimRecord) -> None:
        self.claims[claim.key] = claim
        self.changed.claims.add(claim.key)

    def _reclaim(self) -> None:
        """Repeated until the claim is gone."""
        for key, claim in self.claims.items():
            pod = self.pods.get(claim.pod) if claim.pod else None
            if claim.deleting or (claim.pod and (pod is None or pod.stage is Stage.ENDED)):
                self._effects.append(s.ReclaimClaim(key))

    def _is_excluded(self, pod: PodRecord, at: float) -> bool:
        """Whether a claim that it wants for itself (ReadWriteOncePod) is another pod's, so that it waits."""
        for wanted, key in zip(self.bundles[pod.uid].claims, self.claim_keys(pod), strict=True):
            if EXCLUSIVE in wanted.access_modes:
                others = (one for one in self.claim_users(key) if one.uid != pod.uid)
                holder = next((one for one in others if one.stage is not Stage.IMAGES), None)
                if holder is not None:
                    self._exclude(pod, wanted.name, self.bundles[holder.uid].pod.name, at)
                    return True
        return False

    def _exclude(self, pod: PodRecord, claim: str, other: str, at: float) -> None:
        words = f"the claim {claim!r} is {EXCLUSIVE} and is used by pod {other}"
        if pod.status.get("message") != words:
            pod = self._note(pod, at, "FailedScheduling", words, "Warning")
        self._save(replace(pod, status=self._waiting(pod, words, at), retry=at + AGAIN))
