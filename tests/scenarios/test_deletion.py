"""Deletion, grace, restarts: scenes in which somebody does something to a pod.

Pod lifecycle, termination of pods: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
Restart policy and CrashLoopBackOff: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
"""

from __future__ import annotations

import pytest

from farnode import NotFound, Pod
from farnode.model.times import rfc3339
from tests.scenarios.observe import log, story
from tests.scenarios.stage import Scene, Stage, shell, unique

TRAPPED = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def ready(stage: Stage, pod: Pod) -> Pod:
    """Its shell has set its trap."""
    running = stage.running(pod)
    stage.until(pod, lambda _: b"ready" in log(stage.client, pod), "is ready")
    return running


def ended(pod: Pod, container: str = "main") -> dict[str, object]:
    found: dict[str, object] = pod.container_statuses[container]["state"]["terminated"]
    return found


def graceful_deletion(stage: Stage) -> None:
    """SIGTERM reaches the main process, which ends in its own way and time."""
    pod = stage.submit([shell("graceful", TRAPPED)])
    ready(stage, pod)
    assert stage.client.delete(pod) == [{"uid": pod.uid, "verdict": "accepted"}]
    pod = stage.client.wait(pod)
    assert (pod.phase, ended(pod)["exitCode"], ended(pod)["reason"]) == ("Succeeded", 0, "Completed"), story(pod)
    assert log(stage.client, pod) == b"ready\nbye\n"
    assert pod.deleting
    assert "Killing" in {note["reason"] for note in pod.notes}


def killed_after_grace(stage: Stage) -> None:
    """Who ignores SIGTERM is killed when the grace period is over, not before."""
    pod = stage.submit([shell("deaf", DEAF, terminationGracePeriodSeconds=2)])
    ready(stage, pod)
    asked = stage.site.now()
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert (pod.phase, ended(pod)["exitCode"], ended(pod)["reason"]) == ("Failed", 137, "Error"), story(pod)
    assert str(ended(pod)["finishedAt"]) >= rfc3339(asked + 1)


def killed_at_once(stage: Stage) -> None:
    """`kubectl delete --force`: nobody is asked."""
    pod = stage.submit([shell("forced", TRAPPED, terminationGracePeriodSeconds=600)])
    ready(stage, pod)
    stage.client.delete(pod, grace=0)
    pod = stage.client.wait(pod)
    assert ended(pod)["exitCode"] == 137, story(pod)
    assert log(stage.client, pod) == b"ready\n"


def grace_is_shortened(stage: Stage) -> None:
    """A second deletion may shorten the grace of the first."""
    pod = stage.submit([shell("impatient", DEAF, terminationGracePeriodSeconds=600)])
    ready(stage, pod)
    stage.client.delete(pod)
    stage.client.delete(pod, grace=1)
    pod = stage.client.wait(pod)
    assert ended(pod)["exitCode"] == 137, story(pod)


def both_containers_are_stopped(stage: Stage) -> None:
    document = shell("both", TRAPPED, terminationGracePeriodSeconds=2)
    document["spec"]["containers"].append({**document["spec"]["containers"][0], "name": "other"})
    pod = stage.submit([document])
    ready(stage, pod)
    stage.until(pod, lambda _: b"ready" in log(stage.client, pod, "other"), "is ready")
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert [ended(pod, name)["exitCode"] for name in ("main", "other")] == [0, 0], story(pod)


def deletion_leaves_no_process(stage: Stage) -> None:
    number = unique()
    pod = stage.submit([shell("leaves-none", f"setsid sleep {number} & echo ready; sleep {number}")])
    ready(stage, pod)
    stage.client.delete(pod, grace=1)
    stage.client.wait(pod)
    assert not [line for line in stage.site.command_lines() if number in line]


def deletion_during_init(stage: Stage) -> None:
    """The containers behind the init container never start."""
    document = shell("in-init", "echo never")
    document["spec"]["initContainers"] = [
        {"name": "first", "image": "busybox:1", "command": ["sh", "-c", f"{TRAPPED}"]},
    ]
    pod = stage.submit([document])
    stage.until(pod, lambda now: "running" in now.container_statuses["first"]["state"], "runs its init container")
    stage.until(pod, lambda _: b"ready" in log(stage.client, pod, "first"), "is ready")
    assert stage.now(pod).phase == "Pending"
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert ended(pod, "first")["exitCode"] == 0, story(pod)
    assert "terminated" not in pod.container_statuses["main"]["state"] or ended(pod)["exitCode"] == 137, story(pod)
    assert pod.phase == "Failed", story(pod)


def always_restarts_until_deleted(stage: Stage) -> None:
    """Also after success; from the second time on with a growing pause."""
    pod = stage.submit([shell("always", "echo again", restartPolicy="Always")])
    pod = stage.until(pod, lambda now: waits_for(now) == "CrashLoopBackOff", "restarts and waits")
    status = pod.container_statuses["main"]
    assert (pod.phase, status["restartCount"]) == ("Running", 1), story(pod)
    assert status["lastState"]["terminated"]["exitCode"] == 0
    stage.client.delete(pod)
    assert stage.client.wait(pod).restarts in (1, 2)  # it may just be starting again


def crash_loop(stage: Stage) -> None:
    pod = stage.submit([shell("crash", "echo run; exit 9", restartPolicy="Always")])
    pod = stage.until(pod, lambda now: waits_for(now) == "CrashLoopBackOff", "waits")
    status = pod.container_statuses["main"]
    assert (pod.phase, status["ready"], status["restartCount"]) == ("Running", False, 1), story(pod)
    assert "back-off 10s restarting failed container=main" in status["state"]["waiting"]["message"]
    last = status["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (9, "Error")
    assert log(stage.client, pod) == b"run\n"
    assert log(stage.client, pod, previous=True) == b"run\n"
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert ended(pod)["exitCode"] in (9, 143), story(pod)  # it may just be starting again


def waits_for(pod: Pod) -> str:
    status = pod.container_statuses.get("main", {})
    return str(((status.get("state") or {}).get("waiting") or {}).get("reason"))


def purge(stage: Stage) -> None:
    """Only a pod that has ended can be forgotten; then nobody knows it any more."""
    pod = stage.client.wait(stage.submit([shell("purged", "echo x")]))
    assert stage.client.delete(pod, purge=True)[0]["verdict"] == "accepted"
    with pytest.raises(NotFound):
        stage.now(pod)
    with pytest.raises(NotFound):
        log(stage.client, pod.uid, "main")
    assert stage.client.delete(pod)[0]["verdict"] == "unknown"


def submitted_twice(stage: Stage) -> None:
    """The UID is the key: sending a pod again changes nothing and runs nothing."""
    uid = "11111111-2222-4333-8444-" + f"{int(unique()):012x}"
    document = shell("twice", "echo once")
    document["metadata"]["uid"] = uid
    first, second = stage.submit([document]), stage.submit([document])
    assert first.uid == second.uid == uid
    stage.client.wait(uid)
    (fitted,) = stage.fitted([document])
    answer = stage.site.call("POST", "/v1/pods", {"bundles": [{"pod": fitted}]})
    assert answer["verdicts"] == [{"uid": uid, "verdict": "exists"}]
    assert [pod.uid for pod in stage.client.pods()].count(uid) == 1
    assert log(stage.client, uid, "main") == b"once\n"
    assert stage.now(uid).attempt == 1


SCENES = [
    graceful_deletion,
    killed_after_grace,
    killed_at_once,
    grace_is_shortened,
    both_containers_are_stopped,
    deletion_leaves_no_process,
    deletion_during_init,
    always_restarts_until_deleted,
    crash_loop,
    purge,
    submitted_twice,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_deletion(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
