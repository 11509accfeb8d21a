"""Which pods come again when they fail."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_REPLACING = frozenset(
    (("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("", "ReplicationController"))
)


def replaced_for_ever(pod: Json) -> bool:
    """Whether its controller would make a new one in place of one that failed, at once and without end. Jobs judge
    failures themselves, and so do the controllers that Kubernetes does not bring along."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group, _, _ = owner.get("apiVersion", "").rpartition("/")
            return (group, owner.get("kind")) in _REPLACING
    return False


def rejected(pod: Json, reason: str, message: str) -> Json:
    """The status of a pod that was never begun, as a kubelet rejects one: nothing is said of its containers, so that
    the reason is what people are shown."""
    before = {key: value for key, value in (pod.get("status") or {}).items() if not key.endswith("tatuses")}
    return {**before, "phase": "Failed", "reason": reason, "message": message}
