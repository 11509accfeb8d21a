"""How long a pod outlives the Lease of its node.

Source: Kubernetes, "Taints and Tolerations", "Taint based Evictions". Of a pod's tolerations the API server lets only
tolerationSeconds change, and more be added.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def tolerated(pod: Json, seconds: int) -> Json | None:
    """The strategic merge patch after which the pod tolerates for at least so long that its node's Lease is not
    renewed; None when it does already. What it tolerates for longer stays."""
    before: list[Json] = pod["spec"].get("tolerations") or []
    after = [_extended(one, seconds) if any(_matches(one, taint) for taint in _TAINTS) else one for one in before]
    for taint in _TAINTS:
        if not any(_matches(one, taint) for one in after):
            after.append({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})
    if after == before:
        return None
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "spec": {"tolerations": after}}


def _extended(toleration: Json, seconds: int) -> Json:
    """Without tolerationSeconds it is for ever."""
    given = toleration.get("tolerationSeconds")
    return toleration if given is None or given >= seconds else {**toleration, "tolerationSeconds": seconds}


def _matches(toleration: Json, taint: str) -> bool:
    """Whether it is for this taint of effect NoExecute, whose value is always empty."""
    if toleration.get("effect") not in (None, "", "NoExecute"):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint)
    return toleration.get("key") == taint and not toleration.get("value")
