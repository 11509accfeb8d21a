"""Hooks, probes and sidecars while somebody looks, or does something to the pod.

Hooks: https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
Probes: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
Termination: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.observe import log, story
from tests.scenarios.stage import Scene, Stage, shell
from tests.scenarios.test_deletion import ended, ready
from tests.scenarios.test_logs import HOLD, let_go
from tests.scenarios.test_status import conditions, reasons, running

TRAPPED = "trap 'echo term; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
"""Ends in order at SIGTERM, and says so."""


def hook(*command: str) -> dict[str, Any]:
    return {"lifecycle": {"preStop": {"exec": {"command": list(command)}}}}


def said(stage: Stage, uid: str, container: str | None = None) -> str:
    return log(stage.client, uid, container).decode()


def pre_stop_comes_first(stage: Stage) -> None:
    """The hook has ended before SIGTERM is sent."""
    script = (
        "trap 'cat /tmp/$HOSTNAME.hook; rm /tmp/$HOSTNAME.hook; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    container = hook("sh", "-c", "sleep 0.5; echo hook > /tmp/$HOSTNAME.hook")
    pod = stage.submit([shell("pre-stop", script, container=container)])
    ready(stage, pod)
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert (pod.phase, said(stage, pod.uid)) == ("Succeeded", "ready\nhook\n"), story(pod)


def pre_stop_fails(stage: Stage) -> None:
    """It is noted, and the container is ended all the same."""
    pod = stage.submit([shell("pre-stop-fails", TRAPPED, container=hook("sh", "-c", "exit 3"))])
    ready(stage, pod)
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert said(stage, pod.uid) == "ready\nterm\n"
    assert "FailedPreStopHook" in {note["reason"] for note in pod.notes}, story(pod)


def pre_stop_takes_too_long(stage: Stage) -> None:
    """Hook and SIGTERM share one grace period."""
    document = shell("pre-stop-long", TRAPPED, container=hook("sleep", "600"), terminationGracePeriodSeconds=2)
    pod = stage.submit([document])
    ready(stage, pod)
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert said(stage, pod.uid) == "ready\nterm\n", story(pod)


def pre_stop_sleep(stage: Stage) -> None:
    sleep = {"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    pod = stage.submit([shell("pre-stop-sleep", TRAPPED, container=sleep)])
    ready(stage, pod)
    stage.client.delete(pod)
    assert said(stage, stage.client.wait(pod).uid) == "ready\nterm\n"


def stop_signal(stage: Stage) -> None:
    """https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/#container-stop-signals"""
    script = "trap '' TERM; trap 'echo usr1; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    document = shell("stop-signal", script, container={"lifecycle": {"stopSignal": "SIGUSR1"}}, os={"name": "linux"})
    pod = stage.submit([document])
    ready(stage, pod)
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    assert said(stage, pod.uid) == "ready\nusr1\n", story(pod)


def readiness_comes_and_goes(stage: Stage) -> None:
    probe = {
        "exec": {"command": ["sh", "-c", "[ -e /tmp/$HOSTNAME.ready ]"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    pod = stage.submit([shell("readiness", f"echo up; {HOLD}", container={"readinessProbe": probe})])
    pod = stage.until(pod, lambda now: running(now, "main") and said(stage, now.uid), "runs")
    assert (conditions(pod)["Ready"], reasons(pod)["Ready"]) == ("False", "ContainersNotReady"), story(pod)
    status = pod.container_statuses["main"]
    assert (status["ready"], status["started"]) == (False, True)
    for command, wanted in (("touch", "True"), ("rm", "False")):
        with stage.client.exec(pod, ["sh", "-c", f"{command} /tmp/$HOSTNAME.ready"]) as session:
            assert session.wait() == 0
        now = stage.until(pod, lambda now, wanted=wanted: conditions(now)["Ready"] == wanted, f"ready: {wanted}")  # type: ignore[misc]
        assert now.container_statuses["main"]["ready"] is (wanted == "True")
    assert pod.container_statuses["main"]["restartCount"] == 0
    let_go(stage, pod.uid)
    assert stage.client.wait(pod).succeeded


def not_started_before_its_probe(stage: Stage) -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#types-of-probe"""
    probe = {"exec": {"command": ["sh", "-c", "[ -e /tmp/$HOSTNAME.up ]"]}, "periodSeconds": 1, "failureThreshold": 60}
    pod = stage.submit([shell("startup", f"echo up; {HOLD}; rm /tmp/$HOSTNAME.up", container={"startupProbe": probe})])
    pod = stage.until(pod, lambda now: running(now, "main") and said(stage, now.uid), "runs")
    status = pod.container_statuses["main"]
    assert (status["ready"], status["started"]) == (False, False), story(pod)
    with stage.client.exec(pod, ["sh", "-c", "touch /tmp/$HOSTNAME.up"]) as session:
        assert session.wait() == 0
    pod = stage.until(pod, lambda now: now.container_statuses["main"]["started"], "has started")
    assert pod.container_statuses["main"]["ready"]
    let_go(stage, pod.uid)
    assert stage.client.wait(pod).succeeded


def sidecar_is_part_of_readiness(stage: Stage) -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#sidecar-containers-and-pod-lifecycle"""
    document = shell("sidecar", f"echo up; {HOLD}")
    document["spec"]["initContainers"] = [
        {"name": "side", "image": "busybox:1", "restartPolicy": "Always", "command": ["sh", "-c", TRAPPED]}
    ]
    pod = stage.submit([document])
    pod = stage.until(pod, lambda now: conditions(now).get("Ready") == "True", "is ready")
    assert pod.phase == "Running", story(pod)
    assert conditions(pod)["Initialized"] == "True"
    side = pod.container_statuses["side"]
    assert (side["ready"], side["started"]) == (True, True)
    stage.until(pod, lambda now: running(now, "main") and said(stage, now.uid, "main"), "runs")
    let_go(stage, pod.uid, "main")
    pod = stage.client.wait(pod)
    assert pod.succeeded, story(pod)
    assert said(stage, pod.uid, "side") == "ready\nterm\n"


def sidecars_end_last(stage: Stage) -> None:
    """A deleted pod ends its sidecars after its other containers, within one grace period."""
    document = shell(
        "sidecar-deleted", "trap 'sleep 1; date +%s%N; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    timed = "trap 'date +%s%N; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    document["spec"]["initContainers"] = [
        {"name": "side", "image": "busybox:1", "restartPolicy": "Always", "command": ["sh", "-c", timed]}
    ]
    pod = stage.submit([document])
    stage.until(pod, lambda now: running(now, "main") and "ready" in said(stage, now.uid, "main"), "runs")
    stage.client.delete(pod)
    pod = stage.client.wait(pod)
    main, side = ended(pod, "main"), ended(pod, "side")
    assert (main["exitCode"], side["exitCode"]) == (0, 0), story(pod)
    assert str(main["finishedAt"]) <= str(side["finishedAt"])


def config_is_updated(stage: Stage) -> None:
    """https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically"""
    if "mounts" not in stage.capabilities:
        pytest.skip("this node forbids mounts")
    mount = {"volumeMounts": [{"name": "config", "mountPath": "/config"}]}
    script = 'echo up; while [ "$(cat /config/key)" != new ]; do sleep 0.05; done; cat /config/*'
    document = shell("config-update", script, container=mount)
    document["spec"]["volumes"] = [{"name": "config", "configMap": {"name": "settings"}}]
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "old"}}
    pod = stage.submit([document, settings])
    stage.until(pod, lambda now: running(now, "main") and said(stage, now.uid), "runs")
    newer = {"version": 1, "configMaps": [{**settings, "data": {"key": "new", "more": "!"}}], "secrets": []}
    assert stage.site.call("PUT", f"/v1/pods/{pod.uid}/inputs", newer) == {"version": 1}
    pod = stage.client.wait(pod)
    assert said(stage, pod.uid) == "up\nnew!", story(pod)


SCENES = [
    pre_stop_comes_first,
    pre_stop_fails,
    pre_stop_takes_too_long,
    pre_stop_sleep,
    stop_signal,
    readiness_comes_and_goes,
    not_started_before_its_probe,
    sidecar_is_part_of_readiness,
    sidecars_end_last,
    config_is_updated,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_lifecycle(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
