"""The v1.PodStatus that the API server is to have of a pod: the site's, with what only the cluster knows.

The site says what the containers do. The API server knows conditions that others wrote, the pod's generation and what
of its spec was changed since; and it refuses some transitions, which a site may well go through: after an allocation
was lost all containers of a pod run again, but to the API server one that ended for good has ended. Source:
Kubernetes, "Pod Lifecycle"; ValidatePodStatusUpdate of the API server; the kubelet's status manager.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from farnode.model.api import PodView
from farnode.model.conditions import ready
from farnode.model.pod import Pod, parse_pod
from farnode.model.status import failed_status, waiting_status
from farnode.model.times import rfc3339
from farnode.node.pods.containers import container_statuses
from farnode.node.pods.difference import difference
from farnode.node.pods.resizing import infeasible
from farnode.node.pods.skew import corrected
from farnode.node.pods.waiting import waiting_words, with_words

Json = dict[str, Any]

ENDED = ("Succeeded", "Failed")
RESIZE = "PodResizePending"
_OF_PHASE = ("phase", "reason", "message")
_OURS = (*_OF_PHASE, "hostIP", "hostIPs", "podIP", "podIPs", "startTime")
_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def published(pod: Json, view: PodView, skew: float, words: str = "", at: float | None = None) -> Json:
    """The status of a pod that the site has. `skew`: seconds to be added to the site's times; `words`: what it waits
    for, where that is not the site's to say; `at`: now, the time of changes that the site did not date."""
    before: Json = pod.get("status") or {}
    site = corrected(view.get("status") or {}, skew)
    if before.get("phase") in ENDED:
        return _ended_before(pod, before, site)
    if site.get("phase") in ENDED and not view.get("ended", True):
        site |= {key: before.get(key) for key in _OF_PHASE}  # as the kubelet: not before its last process is gone
    if site.get("phase", "Pending") == "Pending":
        site = with_words(site, words or waiting_words(view, skew, at))
    return _merged(pod, before, site, at, at_site=True)


def patch(pod: Json, status: Json) -> Json | None:
    """The strategic merge patch of `pods/status` that writes it; None when the API server has it already."""
    found = difference(pod.get("status") or {}, status)
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": found} if found else None


def waiting(pod: Json, reason: str, message: str, at: float | None = None) -> Json:
    """The status of a pod that the site does not have yet: all containers wait, and why."""
    before: Json = pod.get("status") or {}
    if before.get("phase") in ENDED:
        return before
    return _merged(pod, before, waiting_status(_outline(pod), reason, message, before, at), at, at_site=False)


def failed(pod: Json, reason: str, message: str, at: float) -> Json:
    """The status of a pod that will never run, or of which nobody knows any more how it ended."""
    before: Json = pod.get("status") or {}
    if before.get("phase") in ENDED:
        return before
    return _merged(pod, before, failed_status(_outline(pod), before, reason, message, at), at, at_site=False)


def _ended_before(pod: Json, before: Json, site: Json) -> Json:
    """A phase that is final stays, whoever wrote it; only how the containers ended may still become known."""
    return before | container_statuses(pod, site, True) if site.get("phase") in ENDED else before


def _merged(pod: Json, before: Json, told: Json, at: float | None, at_site: bool) -> Json:
    others = {key: value for key, value in before.items() if key not in (*_OURS, *_LISTS)}
    status = others | {key: told[key] for key in _OURS if told.get(key)} | container_statuses(pod, told, at_site)
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    if "qosClass" in told:
        status.setdefault("qosClass", told["qosClass"])  # the API server's own, which may not change
    status["conditions"] = _conditions(pod, before, told, at)
    return status


def _conditions(pod: Json, before: Json, site: Json, at: float | None) -> list[Json]:
    """What others wrote stays as it is, also where the site's status was made with it."""
    known, told = _by_type(before), _by_type(site)
    found = {kind: one for kind, one in told.items() if one != known.get(kind)}
    others = [one for kind, one in known.items() if kind not in found and kind != RESIZE]
    if gates := [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]:
        found["Ready"] = _ready(gates, told, others)
        others = [one for one in others if one["type"] != "Ready"]
    if words := infeasible(pod):
        found[RESIZE] = {"type": RESIZE, "status": "True", "reason": "Infeasible", "message": words}
    generation = pod["metadata"].get("generation")
    return others + [_dated(one, known.get(kind, {}), generation, at) for kind, one in found.items()]


def _by_type(status: Json) -> dict[str, Json]:
    return {one["type"]: one for one in status.get("conditions") or ()}


def _ready(gates: list[str], told: Mapping[str, Json], others: Iterable[Json]) -> Json:
    """The conditions of readiness gates are the cluster's, so that the site does not know whether they hold."""
    if told["ContainersReady"]["status"] != "True":
        return told["Ready"]
    return {"type": "Ready", **ready(gates, {"status": "True"}, [*others, *told.values()])}


def _dated(condition: Json, before: Json, generation: int | None, at: float | None) -> Json:
    """With the time its status last changed, which the API server may know better than the site."""
    kept = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
    since = kept or condition.get("lastTransitionTime") or (None if at is None else rfc3339(at))
    dated = {**condition, "lastTransitionTime": since} if since else condition
    return {**dated, "observedGeneration": generation} if generation else dated


def _outline(pod: Json) -> Pod:
    """As much of the pod as its status is made of: the rest may be what no site takes."""
    metadata, spec = pod["metadata"], pod["spec"]
    outline = {key: [_part(one) for one in spec.get(key) or ()] for key in ("initContainers", "containers")}
    gates = {"readinessGates": spec.get("readinessGates")}
    return parse_pod({"metadata": {"name": metadata["name"]}, "spec": {**outline, **gates}})


def _part(container: Json) -> Json:
    sidecar = {"restartPolicy": "Always"} if container.get("restartPolicy") == "Always" else {}
    return {"name": container["name"], "image": container["image"], **sidecar}
