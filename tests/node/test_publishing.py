from __future__ import annotations

from typing import Any

import pytest

from farnode.model.api import AllocationView, PodView
from farnode.model.pod import parse_pod
from farnode.model.status import failed_status, lost_status, status_of, waiting_status
from farnode.node.pods.bundle import Found, bundle
from farnode.node.pods.publishing import failed, patch, published, waiting
from farnode.node.pods.skew import corrected

from .samples import END, LATER, START, T0, UID, container, pod

RUNNING = {"running": {"startedAt": START}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": START, "finishedAt": LATER}}


def view(status: Any, ended: bool = False, **fields: Any) -> PodView:
    made: Any = {"uid": UID, "status": status, "ended": ended, **fields}
    return made  # type: ignore[no-any-return]


def shown(state: Any, name: str = "main", **fields: Any) -> Any:
    return {
        "name": name,
        "image": "busybox:1.36",
        "imageID": "",
        "ready": "running" in state,
        "started": "running" in state,
        "restartCount": 0,
        "state": state,
        "lastState": {},
        **fields,
    }


def site(given: Any, phase: str, *states: Any, at: float = T0, previous: Any = None, **fields: Any) -> Any:
    """The site's status of a pod whose containers are in these states."""
    parsed = parse_pod(bundle(given, Found())["pod"])
    names = [one["name"] for one in given["spec"]["containers"]]
    containers = [shown(state, name) for name, state in zip(names, states, strict=True)]
    event: Any = {"at": at, "phase": phase, "started_at": T0, "containers": containers, **fields}
    return status_of(parsed, event, previous)


def accepted(given: Any, status: Any) -> Any:
    """The pod as it is when the API server has this status."""
    return {**given, "status": status}


def condition(status: Any, kind: str) -> Any:
    [found] = [one for one in status["conditions"] if one["type"] == kind]
    return found


def states(status: Any, key: str = "containerStatuses") -> dict[str, Any]:
    return {one["name"]: one["state"] for one in status[key]}


def test_running() -> None:
    given = pod()
    status = published(given, view(site(given, "Running", RUNNING, host_ip="10.0.0.1", pod_ip="10.0.0.2")), 0.0)
    assert (status["phase"], status["startTime"], status["observedGeneration"]) == ("Running", START, 1)
    assert (status["podIP"], status["podIPs"]) == ("10.0.0.2", [{"ip": "10.0.0.2"}])
    assert (status["hostIP"], status["hostIPs"]) == ("10.0.0.1", [{"ip": "10.0.0.1"}])
    assert states(status) == {"main": RUNNING}
    assert condition(status, "Ready") == {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": START,
        "observedGeneration": 1,
    }


def test_what_is_written_is_not_written_again() -> None:
    given = pod()
    status = published(given, view(site(given, "Running", RUNNING, pod_ip="10.0.0.2")), 0.0)
    body = patch(given, status)
    assert body is not None
    assert body["metadata"] == {"uid": UID}
    assert body["status"]["podIPs"] == [{"$patch": "replace"}, {"ip": "10.0.0.2"}]
    assert patch(accepted(given, status), status) is None


def test_what_the_api_server_adds_is_no_difference() -> None:
    given = pod()
    status = published(given, view(site(given, "Running", RUNNING)), 0.0)
    there = {**status, "conditions": [{**one, "lastProbeTime": None} for one in status["conditions"]], "podIPs": None}
    assert patch(accepted(given, there), status) is None


def test_only_what_changes_is_written() -> None:
    given = pod()
    before = published(given, view(site(given, "Running", RUNNING)), 0.0)
    now = published(
        accepted(given, before),
        view(site(given, "Succeeded", DONE, at=T0 + 60, previous=site(given, "Running", RUNNING)), ended=True),
        0.0,
    )
    body = patch(accepted(given, before), now)
    assert body is not None
    assert body["status"].keys() == {"phase", "containerStatuses", "conditions"}
    assert [one["type"] for one in body["status"]["conditions"]] == [
        *("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    ]


def test_words_that_are_gone_are_taken_back() -> None:
    given = pod()
    before = waiting(given, "ContainerCreating", "waiting in the queue", T0)
    now = published(accepted(given, before), view(site(given, "Running", RUNNING)), 0.0)
    body = patch(accepted(given, before), now)
    assert body is not None
    assert body["status"]["message"] is None
    [ready] = [one for one in body["status"]["conditions"] if one["type"] == "Ready"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("True", None, None)


def test_containers_are_in_the_order_of_the_spec() -> None:
    given = pod(containers=[container("b"), container("a")])
    told = site(given, "Running", RUNNING, DONE)
    told["containerStatuses"].reverse()
    assert list(states(published(given, view(told), 0.0))) == ["b", "a"]


def test_conditions_of_others_stay() -> None:
    quota = {"type": "example.com/Quota", "status": "True", "lastTransitionTime": END}
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": END}
    given = pod(status={"conditions": [quota, disrupted, scheduled]})
    status = published(given, view(site(given, "Running", RUNNING)), 0.0)
    assert condition(status, "example.com/Quota") == quota
    assert condition(status, "DisruptionTarget") == disrupted
    assert condition(status, "PodScheduled")["lastTransitionTime"] == END


def test_conditions_of_others_stay_without_the_site_too() -> None:
    quota = {"type": "example.com/Quota", "status": "True", "lastTransitionTime": END}
    given = pod(status={"conditions": [quota]})
    for status in (waiting(given, "ContainerCreating", "", T0), failed(given, "SiteRefused", "", T0)):
        assert condition(status, "example.com/Quota") == quota


def test_readiness_gates() -> None:
    gate = "example.com/lb"
    given = pod(readinessGates=[{"conditionType": gate}])
    told = view(site(given, "Running", RUNNING))
    closed = published(given, told, 0.0)
    words = f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    assert condition(closed, "Ready")["message"] == words
    open_gate = {"type": gate, "status": "True"}
    status = published(accepted(given, {**closed, "conditions": [*closed["conditions"], open_gate]}), told, 0.0, at=T0)
    assert condition(status, "Ready") == {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": START,
        "observedGeneration": 1,
    }


def test_lost_and_run_again() -> None:
    """What ended for good stays so for the API server; else it would refuse the whole status."""
    given = pod(
        restartPolicy="OnFailure",
        initContainers=[container("init")],
        containers=[container("done"), container("failed"), container("never", restartPolicy="Never")],
    )
    parsed = parse_pod(bundle(given, Found())["pod"])
    failure = {"terminated": {"exitCode": 1, "startedAt": START, "finishedAt": LATER}}
    ran = site(given, "Running", DONE, failure, failure, init_containers=[shown(DONE, "init", ready=True)])
    before = published(given, view(ran), 0.0)
    lost = lost_status(parsed, ran, "RunnerLost", "the node failed", T0 + 120, restarting=True)
    status = published(accepted(given, before), view(lost), 0.0)
    assert status["phase"] == "Pending"
    assert states(status, "initContainerStatuses")["init"] == DONE
    assert states(status)["done"] == DONE
    assert states(status)["never"] == failure
    assert "waiting" in states(status)["failed"]
    assert [one["restartCount"] for one in status["containerStatuses"]] == [1, 1, 1]
    assert "startTime" not in status


def ruled(operator: str) -> Any:
    rule = {"action": "Restart", "exitCodes": {"operator": operator, "values": [7]}}
    return {"restartPolicy": "Never", "restartPolicyRules": [rule]}


@pytest.mark.parametrize(
    ("fields", "code", "leaves"),
    [
        ({"restartPolicy": "Always"}, 0, True),
        ({"restartPolicy": "OnFailure"}, 0, False),
        ({"restartPolicy": "OnFailure"}, 1, True),
        ({"restartPolicy": "Never"}, 1, False),
        (ruled("In"), 7, True),
        (ruled("In"), 8, False),
        (ruled("NotIn"), 7, False),
        (ruled("NotIn"), 8, True),
    ],
)
def test_which_containers_may_run_again(fields: Any, code: int, leaves: bool) -> None:
    given = pod(restartPolicy="Never", containers=[container(**fields)])
    ended = {"terminated": {"exitCode": code, "startedAt": START, "finishedAt": LATER}}
    before = published(given, view(site(given, "Running", ended)), 0.0)
    status = published(accepted(given, before), view(site(given, "Running", RUNNING)), 0.0)
    assert states(status)["main"] == (RUNNING if leaves else ended)


@pytest.mark.parametrize("old", ["Pending", "Running", "Unknown"])
def test_what_is_final_stays(old: str) -> None:
    given = pod()
    final = published(given, view(site(given, "Succeeded", DONE), ended=True), 0.0)
    assert published(accepted(given, final), view(site(given, old, RUNNING)), 0.0) == final
    assert waiting(accepted(given, final), "ContainerCreating", "") == final
    assert failed(accepted(given, final), "NotFoundAtSite", "", T0) == final


def test_how_containers_ended_may_become_known_later() -> None:
    given = pod()
    running = published(given, view(site(given, "Running", RUNNING)), 0.0)
    collected = {**running, "phase": "Failed", "reason": "NodeLost"}
    status = published(accepted(given, collected), view(site(given, "Succeeded", DONE), ended=True), 0.0)
    assert (status["phase"], status["reason"], states(status)) == ("Failed", "NodeLost", {"main": DONE})


def test_a_phase_is_final_only_when_nothing_runs_any_more() -> None:
    given = pod()
    before = published(given, view(site(given, "Running", RUNNING)), 0.0)
    dying = site(given, "Failed", RUNNING, reason="DeadlineExceeded")
    status = published(accepted(given, before), view(dying), 0.0)
    assert (status["phase"], status.get("reason")) == ("Running", None)
    assert published(accepted(given, before), view(dying, ended=True), 0.0)["phase"] == "Failed"


def test_times_are_corrected() -> None:
    given = pod()
    ran = site(given, "Running", RUNNING)
    ended = site(given, "Succeeded", DONE, at=T0 + 60, previous=ran)
    status = published(given, view(ended, ended=True), 60.4)
    assert status["startTime"] == LATER
    assert states(status)["main"]["terminated"]["startedAt"] == LATER
    assert states(status)["main"]["terminated"]["finishedAt"] == END
    assert condition(status, "Ready")["lastTransitionTime"] == END


def test_times_that_are_not_known_stay_so() -> None:
    assert corrected({"startTime": None, "conditions": [{"type": "Ready"}]}, 5.0) == {
        "startTime": None,
        "conditions": [{"type": "Ready"}],
    }


QUEUED = AllocationView(phase="queued", partition="gpu", reason="Resources", expectedStart=T0 + 22800)


@pytest.mark.parametrize(
    ("allocation", "at", "words"),
    [
        (QUEUED, T0, "waiting in partition gpu (Resources), expected start 14:20 UTC"),
        (QUEUED, None, "waiting in partition gpu (Resources), expected start 2027-01-15 14:20 UTC"),
        (QUEUED, T0 - 50000, "waiting in partition gpu (Resources), expected start 2027-01-15 14:20 UTC"),
        (QUEUED, T0 + 22800, "waiting in partition gpu (Resources)"),
        (AllocationView(phase="queued"), T0, "waiting in the queue"),
    ],
)
def test_what_it_waits_for(allocation: AllocationView, at: float | None, words: str) -> None:
    given = pod(initContainers=[container("init")])
    told = waiting_status(parse_pod(bundle(given, Found())["pod"]), "ContainerCreating", "", at=T0)
    status = published(given, view(told, allocation=allocation), 0.0, at=at)
    assert status["message"] == words
    assert states(status, "initContainerStatuses")["init"]["waiting"]["message"] == words
    assert states(status)["main"] == {"waiting": {"reason": "PodInitializing", "message": words}}


def test_other_words() -> None:
    given = pod()
    parsed = parse_pod(bundle(given, Found())["pod"])
    told = waiting_status(parsed, "ContainerCreating", "no offer has 8 GPUs", at=T0)
    assert published(given, view(told), 0.0)["message"] == "no offer has 8 GPUs"
    assert published(given, view(told), 0.0, "the site is away")["message"] == "the site is away"
    pulling = waiting_status(parsed, "ErrImagePull", "not found", at=T0)
    status = published(given, view(pulling, allocation=QUEUED), 0.0, at=T0)
    assert states(status)["main"]["waiting"] == {"reason": "ErrImagePull", "message": "not found"}


def test_a_pod_is_not_resized() -> None:
    small: Any = {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}
    given = pod(containers=[container(resources=small), container("other")])
    told = view(site(given, "Running", RUNNING, RUNNING))
    before = published(given, told, 0.0)
    assert before["containerStatuses"][0]["resources"] == small
    assert before["containerStatuses"][0]["allocatedResources"] == small["requests"]
    resized = accepted(given, before)
    resized["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
    resized["metadata"]["generation"] = 2
    status = published(resized, told, 0.0, at=T0)
    assert condition(status, "PodResizePending") == {
        "type": "PodResizePending",
        "status": "True",
        "reason": "Infeasible",
        "message": "a running pod is not resized at a site; make a new one (main)",
        "lastTransitionTime": START,
        "observedGeneration": 2,
    }
    assert status["containerStatuses"][0]["resources"] == small
    given["spec"]["containers"][0]["resources"] = small
    back = published(accepted(given, status), told, 0.0)
    body = patch(accepted(given, status), back)
    assert body is not None
    assert {"type": "PodResizePending", "$patch": "delete"} in body["status"]["conditions"]


def test_a_pod_that_is_not_at_the_site_yet_may_be_resized() -> None:
    small, large = ({"requests": {"cpu": cpu}} for cpu in ("1", "2"))
    given = pod(containers=[container(resources=small)])
    held = accepted(given, waiting(given, "ContainerCreating", "", T0))
    held["spec"]["containers"][0]["resources"] = large
    status = published(held, view(site(held, "Running", RUNNING)), 0.0)
    assert status["containerStatuses"][0]["resources"] == large
    assert "PodResizePending" not in [one["type"] for one in status["conditions"]]


def test_ephemeral_containers_wait() -> None:
    given = pod(ephemeralContainers=[container("debugger")])
    status = published(given, view(site(given, "Running", RUNNING)), 0.0)
    [ephemeral] = status["ephemeralContainerStatuses"]
    assert ephemeral["name"] == "debugger"
    assert "use kubectl exec" in ephemeral["state"]["waiting"]["message"]


def test_waiting_for_what_is_missing() -> None:
    given = pod(initContainers=[container("init"), container("side", restartPolicy="Always")])
    status = waiting(given, "CreateContainerConfigError", 'Error: configmap "x" not found', T0)
    assert status["phase"] == "Pending"
    assert states(status, "initContainerStatuses")["init"]["waiting"]["reason"] == "CreateContainerConfigError"
    assert states(status)["main"]["waiting"]["reason"] == "PodInitializing"
    assert condition(status, "Initialized")["message"] == "containers with incomplete status: [init side]"
    assert condition(status, "Ready")["lastTransitionTime"] == START


def test_refused() -> None:
    """Of a pod that the model itself cannot read."""
    given = pod(hostPID=True, volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}])
    status = failed(given, "SiteRefused", "spec.hostPID: is not allowed at a site", T0)
    assert (status["phase"], status["reason"]) == ("Failed", "SiteRefused")
    assert status["qosClass"] == "BestEffort"
    assert states(status)["main"]["terminated"]["exitCode"] == 137
    assert condition(status, "Ready")["reason"] == "PodFailed"
    assert patch(accepted(given, status), status) is None


def test_an_api_server_that_does_not_keep_generations() -> None:
    given = pod()
    status = published(given, view(site(given, "Running", RUNNING)), 0.0)
    kept = {key: value for key, value in status.items() if key != "observedGeneration"}
    kept["conditions"] = [{key: one[key] for key in one if key != "observedGeneration"} for one in kept["conditions"]]
    assert patch(accepted(given, kept), status) is None


def test_the_quality_of_service_is_the_api_servers() -> None:
    given = pod(status={"qosClass": "Burstable"})
    told = failed_status(parse_pod(bundle(given, Found())["pod"]), {}, "QueueTimeout", "", T0)
    assert told["qosClass"] == "BestEffort"
    assert published(given, view(told, ended=True), 0.0)["qosClass"] == "Burstable"
