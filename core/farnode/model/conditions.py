"""The conditions of v1.PodStatus, with the kubelet's reasons and words.

Source: Kubernetes, "Pod conditions", and what the kubelet writes: a condition keeps its lastTransitionTime until its
status changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from farnode.model.times import rfc3339

Json = dict[str, Any]
_ENDED = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}


def conditions(status: Mapping[str, Any], previous: Mapping[str, Any], at: float | None) -> list[Json]:
    """Of a status whose phase and container statuses are made; `at` None where nobody knows the time."""
    ready = _ready(status)
    found = [
        _condition("PodReadyToStartContainers", _has_started(status)),
        {"type": "Initialized", **_initialized(status)},
        {"type": "Ready", **ready},
        {"type": "ContainersReady", **ready},
        _condition("PodScheduled", True),
    ]
    return timed(found, previous, at)


def timed(found: Iterable[Json], previous: Mapping[str, Any], at: float | None) -> list[Json]:
    """Each condition with the time its status last changed."""
    before = {condition.get("type"): condition for condition in previous.get("conditions") or ()}
    return [_timed(condition, before.get(condition["type"], {}), at) for condition in found]


def _timed(condition: Json, before: Mapping[str, Any], at: float | None) -> Json:
    kept = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
    since = kept or (None if at is None else rfc3339(at))
    return {**condition, "lastTransitionTime": since} if since else condition


def _condition(kind: str, holds: bool) -> Json:
    return {"type": kind, "status": str(holds)}


def _has_started(status: Mapping[str, Any]) -> bool:
    """Whether the pod's place on a node stands: it does from its start to its end."""
    return "startTime" in status and status["phase"] not in _ENDED


def _initialized(status: Mapping[str, Any]) -> Json:
    if status["phase"] == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    started = any(_ran(one) for one in status["containerStatuses"])
    left = [] if started else [one["name"] for one in status.get("initContainerStatuses", ()) if not _completed(one)]
    return _verdict(left, "ContainersNotInitialized", "containers with incomplete status")


def _ready(status: Mapping[str, Any]) -> Json:
    if status["phase"] in _ENDED:
        return {"status": "False", "reason": _ENDED[status["phase"]]}
    unready = [one["name"] for one in status["containerStatuses"] if not one.get("ready")]
    return _verdict(unready, "ContainersNotReady", "containers with unready status")


def _verdict(names: Sequence[str], reason: str, words: str) -> Json:
    if not names:
        return {"status": "True"}
    return {"status": "False", "reason": reason, "message": f"{words}: [{' '.join(names)}]"}


def _ran(container: Mapping[str, Any]) -> bool:
    """Whether this attempt has started it; a crashed container waits, but only because it did run."""
    state = container.get("state", {})
    if state.get("waiting", {}).get("reason") == "CrashLoopBackOff":
        return True
    return "running" in state or "startedAt" in state.get("terminated", {})


def _completed(container: Mapping[str, Any]) -> bool:
    terminated = container.get("state", {}).get("terminated")
    return terminated is not None and terminated.get("exitCode") == 0
