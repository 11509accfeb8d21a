"""Resizing a running pod in place, which no site can do.

Source: Kubernetes, "Resize CPU and Memory Resources assigned to Containers": what a container really has stands in its
status, and PodResizePending says that it will not get what its spec asks for now. So the status tells, to whatever
process comes later, what the pod was started with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_LISTS = (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses"))


def resources(container: Mapping[str, Any], before: Mapping[str, Any], at_site: bool) -> Json:
    """The part of a container's status about them; `before`: the status the API server has of it. Until a pod is at the
    site it may change."""
    if "resources" in before:
        return {key: before[key] for key in ("resources", "allocatedResources") if key in before}
    if not at_site:
        return {}
    asked = {key: given for key, given in (container.get("resources") or {}).items() if key in ("requests", "limits")}
    return {"resources": asked, **({"allocatedResources": asked["requests"]} if asked.get("requests") else {})}


def infeasible(pod: Json) -> str:
    """Why the pod is not resized as its spec asks; "" where it asks for nothing else than it has."""
    status = pod.get("status") or {}
    changed = [
        container["name"]
        for spec, key in _LISTS
        for container in pod["spec"].get(spec) or ()
        if _differs(container, _by_name(status.get(key) or ()).get(container["name"], {}))
    ]
    if not changed:
        return ""
    return f"a running pod is not resized at a site; make a new one ({', '.join(changed)})"


def _differs(container: Json, before: Json) -> bool:
    if "resources" not in before:
        return False
    asked = container.get("resources") or {}
    return any((asked.get(key) or {}) != (before["resources"].get(key) or {}) for key in ("requests", "limits"))


def _by_name(statuses: Any) -> dict[str, Json]:
    return {one["name"]: one for one in statuses}
