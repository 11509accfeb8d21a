from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from farnode.model.pod import Pod, parse_pod
from farnode.model.qos import qos_class
from farnode.model.status import failed_status, lost_status, restart_counts, status_of, waiting_status
from farnode.model.times import rfc3339
from farnode.wire.messages import EventFrame

from .samples import container, one, pod

T0, T1, T2 = 1_800_000_000.0, 1_800_000_060.9, 1_800_000_120.0
START, LATER, END = "2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z", "2027-01-15T08:02:00Z"
RUNNING = {"running": {"startedAt": START}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": START, "finishedAt": LATER}}
UNSEEN = {
    "exitCode": 137,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
}
SIMPLE = parse_pod(pod())
WITH_INIT = parse_pod(pod(initContainers=[container(name="init")]))


def shown(state: Any, name: str = "main", **fields: Any) -> Any:
    return {"name": name, "state": state, "ready": "running" in state, "restartCount": 0, **fields}


def event(at: float = T0, phase: str = "Running", **fields: Any) -> EventFrame:
    made: Any = {"at": at, "phase": phase, "started_at": T0, **fields}
    return made  # type: ignore[no-any-return]


def holds(status: Any) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


def condition(status: Any, kind: str) -> Any:
    [found] = [one for one in status["conditions"] if one["type"] == kind]
    return found


def test_waiting() -> None:
    status = waiting_status(SIMPLE, "ContainerCreating", "in the queue of gpu", at=T0)
    assert (status["phase"], status["message"]) == ("Pending", "in the queue of gpu")
    assert status["containerStatuses"] == [
        {
            "name": "main",
            "image": "busybox:1.36",
            "imageID": "",
            "ready": False,
            "started": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating", "message": "in the queue of gpu"}},
            "lastState": {},
        }
    ]
    assert "initContainerStatuses" not in status
    assert status["qosClass"] == "BestEffort"
    assert status["conditions"] == [
        {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": START},
        {"type": "Initialized", "status": "True", "lastTransitionTime": START},
        *(
            {
                "type": kind,
                "status": "False",
                "reason": "ContainersNotReady",
                "message": "containers with unready status: [main]",
                "lastTransitionTime": START,
            }
            for kind in ("Ready", "ContainersReady")
        ),
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": START},
    ]


def test_without_a_time_conditions_have_none() -> None:
    assert all("lastTransitionTime" not in one for one in waiting_status(SIMPLE, "x", "")["conditions"])


@pytest.mark.parametrize(
    ("reason", "init", "main"),
    [
        ("ContainerCreating", "PodInitializing", "PodInitializing"),
        ("ErrImagePull", "ErrImagePull", "PodInitializing"),
    ],
)
def test_waiting_with_init_containers(reason: str, init: str, main: str) -> None:
    status = waiting_status(WITH_INIT, reason, "", at=T0)
    assert status["initContainerStatuses"][0]["state"] == {"waiting": {"reason": init}}
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": main}}
    assert condition(status, "Initialized") == {
        "type": "Initialized",
        "status": "False",
        "reason": "ContainersNotInitialized",
        "message": "containers with incomplete status: [init]",
        "lastTransitionTime": START,
    }


def test_running() -> None:
    before = waiting_status(SIMPLE, "ContainerCreating", "queued", at=T0)
    frame = event(T1, host_ip="10.0.0.7", pod_ip="10.0.0.7", containers=[shown(RUNNING)])
    status = status_of(SIMPLE, frame, before)
    assert (status["phase"], status["startTime"]) == ("Running", START)
    assert (status["hostIP"], status["hostIPs"]) == ("10.0.0.7", [{"ip": "10.0.0.7"}])
    assert (status["podIP"], status["podIPs"]) == ("10.0.0.7", [{"ip": "10.0.0.7"}])
    assert status["containerStatuses"] == [shown(RUNNING)]
    assert "message" not in status
    assert set(holds(status).values()) == {"True"}
    assert condition(status, "Ready") == {"type": "Ready", "status": "True", "lastTransitionTime": LATER}
    assert condition(status, "PodScheduled")["lastTransitionTime"] == START


def test_init_containers_run_first() -> None:
    frame = event(init_containers=[shown(RUNNING, "init")], phase="Pending")
    status = status_of(WITH_INIT, frame)
    assert holds(status)["Initialized"] == "False"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    frame = event(init_containers=[shown(DONE, "init")], containers=[shown(RUNNING)])
    assert holds(status_of(WITH_INIT, frame, status))["Initialized"] == "True"


def test_an_init_container_that_failed_leaves_the_pod_uninitialized() -> None:
    failed = {"terminated": {**DONE["terminated"], "exitCode": 1}}
    status = status_of(WITH_INIT, event(phase="Failed", init_containers=[shown(failed, "init")]))
    assert holds(status)["Initialized"] == "False"
    assert condition(status, "Ready")["reason"] == "PodFailed"


SIDECAR = replace(WITH_INIT, init_containers=(replace(WITH_INIT.init_containers[0], sidecar=True),))


def test_a_started_sidecar_lets_the_others_start() -> None:
    starting = event(init_containers=[shown(RUNNING, "init", started=False, ready=False)], phase="Pending")
    status = status_of(SIDECAR, starting)
    assert condition(status, "Initialized")["message"] == "containers with incomplete status: [init]"
    status = status_of(SIDECAR, event(init_containers=[shown(RUNNING, "init", started=True, ready=False)]), status)
    assert holds(status)["Initialized"] == "True"


def test_a_pod_is_ready_when_its_sidecars_are() -> None:
    unready = shown(RUNNING, "init", started=True, ready=False)
    status = status_of(SIDECAR, event(init_containers=[unready], containers=[shown(RUNNING)]))
    for kind in ("Ready", "ContainersReady"):
        assert condition(status, kind)["message"] == "containers with unready status: [init]"
    ready = shown(RUNNING, "init", started=True)
    status = status_of(SIDECAR, event(init_containers=[ready], containers=[shown(RUNNING)]), status)
    assert holds(status)["Ready"] == "True"


def test_a_pod_once_initialized_stays_so() -> None:
    """A sidecar that crashes while the container crashes, too."""
    before = status_of(SIDECAR, event(init_containers=[shown(RUNNING, "init", started=True)]))
    crashed = [shown({"waiting": {"reason": "CrashLoopBackOff"}}, name, lastState=DONE) for name in ("init", "main")]
    status = status_of(SIDECAR, event(init_containers=crashed[:1], containers=crashed[1:]), before)
    assert holds(status)["Initialized"] == "True"


def test_readiness_gates() -> None:
    gated = replace(SIMPLE, readiness_gates=("example.com/lb",))
    status = status_of(gated, event(containers=[shown(RUNNING)]))
    assert (condition(status, "Ready")["reason"], holds(status)["ContainersReady"]) == (
        "ReadinessGatesNotReady",
        "True",
    )
    assert condition(status, "Ready")["message"] == (
        'corresponding condition of pod readiness gate "example.com/lb" does not exist.'
    )
    closed = {"type": "example.com/lb", "status": "False", "lastTransitionTime": START}
    status["conditions"].append(closed)
    status = status_of(gated, event(T1), status)
    assert condition(status, "Ready")["message"] == (
        'the status of pod readiness gate "example.com/lb" is not "True", but False'
    )
    assert condition(status, "example.com/lb") == closed
    closed["status"] = "True"
    assert holds(status_of(gated, event(T2), {**status, "conditions": [closed]}))["Ready"] == "True"


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({}, "BestEffort"),
        ({"limits": {"nvidia.com/gpu": 1}}, "BestEffort"),
        ({"requests": {"cpu": "100m"}}, "Burstable"),
        ({"limits": {"cpu": 1}}, "Burstable"),
        ({"requests": {"cpu": 1}, "limits": {"cpu": 1, "memory": "1Gi"}}, "Guaranteed"),
        ({"requests": {"cpu": "500m"}, "limits": {"cpu": 1, "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_qos_class(resources: Any, wanted: str) -> None:
    assert qos_class(parse_pod(one(resources=resources))) == wanted


def test_qos_class_counts_init_containers() -> None:
    limits = {"limits": {"cpu": 1, "memory": "1Gi"}}
    document = pod(containers=[container(resources=limits)], initContainers=[container(name="init")])
    assert qos_class(parse_pod(document)) == "Burstable"


@pytest.mark.parametrize(("phase", "reason"), [("Succeeded", "PodCompleted"), ("Failed", "PodFailed")])
def test_ended(phase: str, reason: str) -> None:
    status = status_of(SIMPLE, event(T2, phase, reason="R", message="M", containers=[shown(DONE)]))
    assert (status["phase"], status["reason"], status["message"]) == (phase, "R", "M")
    assert condition(status, "Ready") == {
        "type": "Ready",
        "status": "False",
        "reason": reason,
        "lastTransitionTime": END,
    }
    assert holds(status)["PodReadyToStartContainers"] == "False"
    assert holds(status)["Initialized"] == "True"


def test_containers_an_event_does_not_list_are_as_they_were() -> None:
    before = status_of(SIMPLE, event(containers=[shown(RUNNING)]))
    assert status_of(SIMPLE, event(T1), before)["containerStatuses"] == [shown(RUNNING)]


def test_lost_for_good() -> None:
    before = status_of(WITH_INIT, event(init_containers=[shown(DONE, "init")], containers=[shown(RUNNING)]))
    status = lost_status(WITH_INIT, before, "Preempted", "job 84 was preempted", T2, False)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Preempted", "job 84 was preempted")
    assert status["startTime"] == START
    assert status["initContainerStatuses"] == [shown(DONE, "init")]
    [main] = status["containerStatuses"]
    assert main["state"] == {"terminated": {**UNSEEN, "startedAt": START, "finishedAt": END}}
    assert (main["ready"], main["started"]) == (False, False)
    assert holds(status)["Initialized"] == "True"
    assert condition(status, "DisruptionTarget") == {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "Preempted",
        "message": "job 84 was preempted",
        "lastTransitionTime": END,
    }


def test_lost_and_started_again() -> None:
    before = status_of(
        WITH_INIT,
        event(init_containers=[shown(DONE, "init")], containers=[shown(RUNNING, restartCount=2, imageID="sha256:x")]),
    )
    status = lost_status(WITH_INIT, before, "WalltimeExceeded", "time limit", T2, True)
    assert (status["phase"], status["message"]) == ("Pending", "time limit")
    assert "startTime" not in status
    assert "DisruptionTarget" not in holds(status)
    [init], [main] = status["initContainerStatuses"], status["containerStatuses"]
    assert (init["restartCount"], init["lastState"]) == (1, DONE)
    assert (main["restartCount"], main["imageID"]) == (3, "sha256:x")
    assert main["lastState"] == {"terminated": {**UNSEEN, "startedAt": START, "finishedAt": END}}
    assert main["state"] == {"waiting": {"reason": "PodInitializing", "message": "time limit"}}
    assert condition(status, "Ready")["lastTransitionTime"] == END
    assert restart_counts(status) == {"init": 1, "main": 3}


def test_an_attempt_that_started_nothing_costs_no_restart() -> None:
    first = lost_status(SIMPLE, status_of(SIMPLE, event(containers=[shown(RUNNING)])), "RunnerLost", "", T1, True)
    again = lost_status(SIMPLE, first, "RunnerLost", "", T2, True)
    assert restart_counts(again) == {"main": 1}
    assert again["containerStatuses"][0]["lastState"] == first["containerStatuses"][0]["lastState"]


def test_a_crashed_container_keeps_how_it_ended() -> None:
    crashed = shown({"waiting": {"reason": "CrashLoopBackOff"}}, restartCount=4, lastState=DONE)
    before = status_of(WITH_INIT, event(init_containers=[shown(DONE, "init")], containers=[crashed]))
    assert holds(before)["Initialized"] == "True"
    status = lost_status(WITH_INIT, before, "RunnerLost", "", T2, True)
    assert (status["containerStatuses"][0]["lastState"], restart_counts(status)) == (DONE, {"init": 1, "main": 5})


def test_waiting_keeps_what_came_before() -> None:
    lost = lost_status(SIMPLE, status_of(SIMPLE, event(containers=[shown(RUNNING)])), "RunnerLost", "", T1, True)
    status = waiting_status(SIMPLE, "ContainerCreating", "queued again", lost, T2)
    assert restart_counts(status) == {"main": 1}
    assert condition(status, "Ready")["lastTransitionTime"] == LATER


@pytest.mark.parametrize("spec", [SIMPLE, WITH_INIT])
def test_failed_before_it_ever_started(spec: Pod) -> None:
    status = failed_status(spec, {}, "QueueTimeout", "waited longer than 1 h", T1)
    assert (status["phase"], status["reason"]) == ("Failed", "QueueTimeout")
    assert [one["state"] for one in status["containerStatuses"]] == [{"terminated": UNSEEN}]
    assert holds(status)["Initialized"] == str(spec is SIMPLE)
    assert "DisruptionTarget" not in holds(status)


def test_restart_counts_of_nothing() -> None:
    assert restart_counts({}) == {}


def test_times() -> None:
    assert rfc3339(T1) == LATER
