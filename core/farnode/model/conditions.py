"""The conditions of v1.PodStatus, with the kubelet's reasons and words.

Source: Kubernetes, "Pod Lifecycle", "Pod conditions" and "Pod readiness", and where these say less, what the kubelet
writes (compared with it in tests/kubelet). A condition keeps its lastTransitionTime until its status changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from farnode.model.container import Container
from farnode.model.pod import Pod
from farnode.model.times import rfc3339

Json = dict[str, Any]
_OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_ENDED = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}


def conditions(pod: Pod, status: Mapping[str, Any], previous: Mapping[str, Any], at: float | None) -> list[Json]:
    """Of a status whose phase and container statuses are made; `at` None where nobody knows the time.

    Conditions of `previous` that are not a kubelet's, such as those of readiness gates, stay as they are.
    """
    others = [dict(one) for one in previous.get("conditions") or () if one.get("type") not in _OURS]
    found = [
        _condition("PodReadyToStartContainers", _has_started(status)),
        {"type": "Initialized", **_initialized(pod, status, previous)},
    ]
    containers = _containers_ready(pod, status)
    found += [
        {"type": "Ready", **ready(pod.readiness_gates, containers, others + found)},
        {"type": "ContainersReady", **containers},
        _condition("PodScheduled", True),
    ]
    return others + timed(found, previous, at)


def timed(found: Iterable[Json], previous: Mapping[str, Any], at: float | None) -> list[Json]:
    """Each condition with the time its status last changed."""
    before = _by_type(previous.get("conditions") or ())
    return [_timed(condition, before.get(condition["type"], {}), at) for condition in found]


def _timed(condition: Json, before: Mapping[str, Any], at: float | None) -> Json:
    kept = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
    since = kept or (None if at is None else rfc3339(at))
    return {**condition, "lastTransitionTime": since} if since else condition


def _by_type(conditions: Iterable[Mapping[str, Any]]) -> dict[Any, Mapping[str, Any]]:
    return {one.get("type"): one for one in conditions}


def _condition(kind: str, holds: bool) -> Json:
    return {"type": kind, "status": str(holds)}


def _has_started(status: Mapping[str, Any]) -> bool:
    """Whether the pod's place on a node stands: it does from its start to its end."""
    return "startTime" in status and status["phase"] not in _ENDED


def _initialized(pod: Pod, status: Mapping[str, Any], previous: Mapping[str, Any]) -> Json:
    """Once it holds it goes on holding, also where init containers run again."""
    if status["phase"] == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    before = _by_type(previous.get("conditions") or ()).get("Initialized", {})
    if before.get("status") == "True" or any(_ran(one) for one in status["containerStatuses"]):
        return {"status": "True"}
    known = {one["name"]: one for one in status.get("initContainerStatuses", ())}
    left = [one.name for one in pod.init_containers if not _is_done(one, known.get(one.name, {}))]
    return _verdict(left, "ContainersNotInitialized", "containers with incomplete status")


def _is_done(init: Container, status: Mapping[str, Any]) -> bool:
    """Whether the containers after it may start."""
    if init.sidecar:
        return status.get("started") is True
    terminated = status.get("state", {}).get("terminated")
    return terminated is not None and terminated.get("exitCode") == 0


def _containers_ready(pod: Pod, status: Mapping[str, Any]) -> Json:
    if status["phase"] in _ENDED:
        return {"status": "False", "reason": _ENDED[status["phase"]]}
    sidecars = {one.name for one in pod.init_containers if one.sidecar}
    counted = [one for one in status.get("initContainerStatuses", ()) if one["name"] in sidecars]
    unready = [one["name"] for one in [*counted, *status["containerStatuses"]] if not one.get("ready")]
    return _verdict(unready, "ContainersNotReady", "containers with unready status")


def ready(gates: Iterable[str], containers: Json, known: Iterable[Json]) -> Json:
    """The condition Ready, without its type: `containers` is ContainersReady, `known` the conditions that readiness
    gates are looked up in."""
    if containers["status"] != "True":
        return containers
    found = _by_type(known)
    missing = [words for gate in gates if (words := _closed(gate, found.get(gate)))]
    if not missing:
        return {"status": "True"}
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(missing)}


def _closed(gate: str, condition: Mapping[str, Any] | None) -> str:
    """Why a gate is not open, in the kubelet's words; "" when it is."""
    if condition is None:
        return f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    if condition.get("status") == "True":
        return ""
    return f'the status of pod readiness gate "{gate}" is not "True", but {condition.get("status")}'


def _verdict(names: Sequence[str], reason: str, words: str) -> Json:
    if not names:
        return {"status": "True"}
    return {"status": "False", "reason": reason, "message": f"{words}: [{' '.join(names)}]"}


def _ran(container: Mapping[str, Any]) -> bool:
    """Whether it was started. One that `failed_status` ended unstarted has no time of a start."""
    state = container.get("state", {})
    return "running" in state or "startedAt" in state.get("terminated", {})
