"""The container statuses of a pod as the API server may be told them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farnode.node.pods.resizing import resources

Json = dict[str, Any]

_LISTS = (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses"))
_EPHEMERAL = "ephemeral containers are not possible at a site; use kubectl exec into a container of the pod"


def container_statuses(pod: Json, told: Mapping[str, Any], at_site: bool) -> Json:
    """The lists of a v1.PodStatus, in the order of the spec, from those of `told`."""
    spec, before = pod["spec"], pod.get("status") or {}
    found: Json = {}
    for containers, key in _LISTS:
        now, known = _by_name(told.get(key)), _by_name(before.get(key))
        listed = [
            {**_status(pod, one, now[name], known.get(name, {})), **resources(one, known.get(name, {}), at_site)}
            for one in spec.get(containers) or ()
            if (name := one["name"]) in now
        ]
        found |= {key: listed} if listed else {}
    if ephemeral := spec.get("ephemeralContainers"):
        found["ephemeralContainerStatuses"] = [_ephemeral(one) for one in ephemeral]
    return found


def _status(pod: Json, container: Json, told: Json, known: Json) -> Json:
    ended = (known.get("state") or {}).get("terminated")
    if ended and "terminated" not in (told.get("state") or {}) and not _may_leave(pod, container, ended["exitCode"]):
        return {**known, "restartCount": told["restartCount"], "lastState": told.get("lastState") or {}}
    return told


def _may_leave(pod: Json, container: Json, code: int) -> bool:
    """Whether the API server lets a container that ended with this code run again."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        if (code in (codes.get("values") or ())) is (codes.get("operator") == "In"):
            return True
    policy = container.get("restartPolicy") or pod["spec"].get("restartPolicy") or "Always"
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _ephemeral(container: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "CreateContainerError", "message": _EPHEMERAL}},
    }


def _by_name(statuses: Any) -> dict[str, Json]:
    return {one["name"]: one for one in statuses or ()}
