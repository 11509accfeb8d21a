"""v1.PodStatus of a pod at a site: what it says while it waits, runs, and is lost. Pure: times are passed in.

Seconds since the epoch become Kubernetes' times; container statuses come from the runner in Kubernetes' own names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from farnode.model.conditions import conditions, timed
from farnode.model.container import Container
from farnode.model.pod import Pod
from farnode.model.qos import qos_class
from farnode.model.times import rfc3339
from farnode.wire.messages import EventFrame

Json = dict[str, Any]

CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"
LOST = "ContainerStatusUnknown"
CRASHED = "CrashLoopBackOff"
_LISTS = ("initContainerStatuses", "containerStatuses")
_LOST_WORDS = "The container could not be located when the pod was terminated"
_KILLED = 137
"""The exit code the kubelet gives a container whose end nobody saw: that of SIGKILL."""


def waiting_status(
    pod: Pod, reason: str, message: str, previous: Mapping[str, Any] | None = None, at: float | None = None
) -> Json:
    """Pending: no container runs yet, or (with `previous`) none any more.

    `reason` is why the first containers to run wait (ContainerCreating, ErrImagePull …); those behind init containers
    wait for PodInitializing, as at the kubelet. Restart counts and last states of `previous` are kept.
    """
    before = _by_name(previous or {})
    first = INITIALIZING if reason == CREATING and pod.init_containers else reason
    later = INITIALIZING if pod.init_containers else reason
    status: Json = {"phase": "Pending", "qosClass": qos_class(pod)}
    if message:
        status["message"] = message
    if pod.init_containers:
        status["initContainerStatuses"] = [_waiting(one, first, message, before) for one in pod.init_containers]
    status["containerStatuses"] = [_waiting(one, later, message, before) for one in pod.containers]
    status["conditions"] = conditions(pod, status, previous or {}, at)
    return status


def status_of(pod: Pod, event: EventFrame, previous: Mapping[str, Any] | None = None) -> Json:
    """What a runner's event says of the pod. Containers it does not list are as they were, else waiting."""
    at, before = event.get("at"), previous or {}
    status: Json = {"phase": event.get("phase", before.get("phase", "Pending")), "qosClass": qos_class(pod)}
    status |= {key: event[key] for key in ("reason", "message") if event.get(key)}
    status |= _addresses(event)
    if "started_at" in event:
        status["startTime"] = rfc3339(event["started_at"])
    if pod.init_containers:
        listed = event.get("init_containers", [])
        status["initContainerStatuses"] = _complete(pod.init_containers, listed, before)
    status["containerStatuses"] = _complete(pod.containers, event.get("containers", []), before)
    status["conditions"] = conditions(pod, status, before, at)
    return status


def failed_status(pod: Pod, previous: Mapping[str, Any], reason: str, message: str, at: float) -> Json:
    """Failed without a word from its runner, or before it ever had one: every container that has not ended is
    terminated, as the kubelet does it (exit code 137, reason ContainerStatusUnknown)."""
    status = {key: value for key, value in previous.items() if key != "conditions"}
    status |= {"phase": "Failed", "qosClass": qos_class(pod), "reason": reason, "message": message}
    for key in _LISTS:
        if known := _known(pod, previous, key):
            status[key] = [_ended(one, at) for one in known]
    status["conditions"] = conditions(pod, status, previous, at)
    return status


def lost_status(pod: Pod, previous: Mapping[str, Any], reason: str, message: str, at: float, restarting: bool) -> Json:
    """After the end of the pod's allocation, which is to it what a reboot of its node is to a kubelet.

    `reason` is RunnerLost, Preempted or WalltimeExceeded. Not restarting: Failed with the condition
    DisruptionTarget=True, so that a Job's podFailurePolicy can tell it from a failure of the program. Restarting:
    Pending again; containers that had run keep how they ended as their last state and count one restart more.
    """
    failed = failed_status(pod, previous, reason, message, at)
    if not restarting:
        target = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        others = [one for one in failed["conditions"] if one["type"] != target["type"]]
        return {**failed, "conditions": others + timed([target], previous, at)}
    restarted = {key: [_restarted(one, at) for one in _known(pod, previous, key)] for key in _LISTS}
    return waiting_status(pod, CREATING, message, {**previous, **restarted}, at)


def restart_counts(status: Mapping[str, Any]) -> dict[str, int]:
    """By container name, init containers too; those that never restarted are left out."""
    counts = {name: int(one.get("restartCount", 0)) for name, one in _by_name(status).items()}
    return {name: count for name, count in counts.items() if count}


def _by_name(status: Mapping[str, Any]) -> dict[str, Json]:
    return {one["name"]: one for key in _LISTS for one in status.get(key) or ()}


def _waiting(container: Container, reason: str, message: str, before: Mapping[str, Json]) -> Json:
    old = before.get(container.name, {})
    return {
        "name": container.name,
        "image": container.image,
        "imageID": old.get("imageID", ""),
        "ready": False,
        "started": False,
        "restartCount": old.get("restartCount", 0),
        "state": {"waiting": {"reason": reason, **({"message": message} if message else {})}},
        "lastState": old.get("lastState", {}),
    }


def _complete(containers: Sequence[Container], listed: Sequence[Json], before: Mapping[str, Any]) -> list[Json]:
    found = _by_name(before) | {one["name"]: one for one in listed}
    return [found.get(one.name) or _waiting(one, CREATING, "", {}) for one in containers]


def _known(pod: Pod, status: Mapping[str, Any], key: str) -> list[Json]:
    """The container statuses of a list, also where the status has none yet."""
    return list(status.get(key) or waiting_status(pod, CREATING, "").get(key, ()))


def _ended(one: Json, at: float) -> Json:
    state = one.get("state", {})
    if "terminated" in state:
        return one
    return {**one, "ready": False, "started": False, "state": {"terminated": _unseen(one, at)}}


def _unseen(one: Json, at: float) -> Json:
    """How a container ended whose end nobody saw; times only where it ever ran."""
    ended: Json = {"exitCode": _KILLED, "reason": LOST, "message": _LOST_WORDS}
    if running := one.get("state", {}).get("running"):
        ended |= {"startedAt": running.get("startedAt"), "finishedAt": rfc3339(at)}
    if one.get("containerID"):
        ended["containerID"] = one["containerID"]
    return ended


def _restarted(one: Json, at: float) -> Json:
    """What a further attempt inherits. A container that this attempt never started is as it was."""
    state = one.get("state", {})
    if state.get("waiting", {}).get("reason") == CRASHED:
        return {**one, "restartCount": one.get("restartCount", 0) + 1}
    if "waiting" in state or not state:
        return one
    last = {"terminated": state.get("terminated") or _unseen(one, at)}
    return {**one, "restartCount": one.get("restartCount", 0) + 1, "lastState": last}


def _addresses(event: EventFrame) -> Json:
    found: Json = {}
    if host := event.get("host_ip"):
        found |= {"hostIP": host, "hostIPs": [{"ip": host}]}
    if pod := event.get("pod_ip"):
        found |= {"podIP": pod, "podIPs": [{"ip": pod}]}
    return found
