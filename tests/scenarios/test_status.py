"""What a pod's status says on the way: phases, conditions, times, where it runs.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions
"""

from __future__ import annotations

from typing import Any

import pytest

from farnode import Pod
from tests.scenarios.observe import log, story
from tests.scenarios.stage import Scene, Stage, shell
from tests.scenarios.test_logs import HOLD, let_go

TRUE = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": "True", "Ready": "True"}


def conditions(pod: Pod) -> dict[str, str]:
    return {one["type"]: one["status"] for one in pod.status.get("conditions", ())}


def reasons(pod: Pod) -> dict[str, str]:
    return {one["type"]: one["reason"] for one in pod.status.get("conditions", ()) if one.get("reason")}


def while_it_runs_and_after(stage: Stage) -> None:
    pod = stage.submit([shell("conditions", f"echo ready; {HOLD}")])
    pod = stage.until(pod, lambda now: now.phase == "Running" and log(stage.client, now), "is ready")
    assert {**conditions(pod), **TRUE} == conditions(pod), story(pod)
    status = pod.container_statuses["main"]
    assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
    assert status["state"]["running"]["startedAt"] >= pod.status["startTime"]
    assert pod.status["podIP"]
    assert pod.status["hostIP"]
    stage.until(pod, lambda now: len(now.allocation["nodes"]) == 1, "is on a node")
    let_go(stage, pod.uid)
    pod = stage.client.wait(pod)
    assert (conditions(pod)["Ready"], reasons(pod)["Ready"]) == ("False", "PodCompleted"), story(pod)
    assert conditions(pod)["Initialized"] == "True"
    ended = pod.container_statuses["main"]["state"]["terminated"]
    assert ended["startedAt"] == status["state"]["running"]["startedAt"]
    assert ended["finishedAt"] >= ended["startedAt"]
    assert ended["containerID"] == pod.container_statuses["main"]["containerID"]


def while_it_initialises(stage: Stage) -> None:
    document = shell("initialising", "echo main")
    document["spec"]["initContainers"] = [
        {"name": "first", "image": "busybox:1", "command": ["sh", "-c", f"echo ready; {HOLD}"]}
    ]
    pod = stage.submit([document])
    pod = stage.until(pod, lambda now: "running" in now.container_statuses["first"]["state"], "initialises")
    stage.until(pod, lambda now: log(stage.client, now, "first"), "is ready")
    assert pod.phase == "Pending"
    found = conditions(pod)
    assert (found["Initialized"], found["Ready"], found["PodScheduled"]) == ("False", "False", "True"), story(pod)
    assert reasons(pod)["Initialized"] == "ContainersNotInitialized"
    assert pod.container_statuses["main"]["state"] == {"waiting": {"reason": "PodInitializing"}}
    let_go(stage, pod.uid, "first")
    assert stage.client.wait(pod).succeeded


def one_container_is_not_ready(stage: Stage) -> None:
    """A pod with one container that ended for good is Running, but not Ready."""
    document = shell("half", f"echo ready; {HOLD}")
    document["spec"]["containers"].append({"name": "short", "image": "busybox:1", "command": ["true"]})
    pod = stage.submit([document])
    pod = stage.until(
        pod,
        lambda now: "terminated" in now.container_statuses.get("short", {}).get("state", {}) and running(now, "main"),
        "has one container left",
    )
    assert pod.phase == "Running", story(pod)
    assert (conditions(pod)["Ready"], reasons(pod)["Ready"]) == ("False", "ContainersNotReady"), story(pod)
    stage.until(pod, lambda now: log(stage.client, now, "main"), "is ready")
    let_go(stage, pod.uid, "main")
    assert stage.client.wait(pod).succeeded


def running(pod: Pod, container: str) -> bool:
    return "running" in pod.container_statuses.get(container, {}).get("state", {})


def phases_in_order(stage: Stage) -> None:
    """Pending, Running, Succeeded: nobody ever sees a step back, nor anything after the end."""
    pod = stage.submit([shell("phases", f"echo ready; {HOLD}")])
    seen: list[Any] = []
    for event in stage.client.watch():
        if event["uid"] == pod.uid and event["type"] == "pod":
            phase = event["pod"]["status"]["phase"]
            if not seen or seen[-1] != phase:
                seen.append(phase)
                if phase == "Running":
                    stage.until(pod, lambda now: log(stage.client, now), "is ready")
                    let_go(stage, pod.uid)
            if event["pod"]["ended"]:
                break
    order = ["Pending", "Running", "Succeeded"]
    assert seen == order[len(order) - len(seen) :]


SCENES = [while_it_runs_and_after, while_it_initialises, one_container_is_not_ready, phases_in_order]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_status(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
