"""What users do with pods by the real kubectl, from making them to the end."""

from __future__ import annotations

import json
import random
import time

import pytest

from tests.node.kubectl import Kubectl, pod
from tests.node.stack import NODE, Stack
from tests.sites.site import RUNTIME, wait_until

pytestmark = pytest.mark.system

BY_HAND = ("--image=busybox:1", "--restart=Never", f"--annotations={RUNTIME}=process")
DEAF = "trap '' TERM; while :; do sleep 0.1; done"


def unique() -> str:
    """A number of seconds nobody else sleeps."""
    return str(random.randrange(10**6, 10**7))


def events(kubectl: Kubectl, name: str) -> dict[str, str]:
    """The messages of a pod's Events by reason."""
    found = kubectl.list("events", f"--field-selector=involvedObject.name={name}")
    return {each["reason"]: each["message"] for each in found}


def reported(kubectl: Kubectl, name: str, *reasons: str) -> dict[str, str]:
    """As `events`, once all of `reasons` are there."""
    wait_until(lambda: set(reasons) <= events(kubectl, name).keys(), f"Events {reasons}: {events(kubectl, name)}")
    return events(kubectl, name)


# ---- making ----------------------------------------------------------------------------------------------------------


def test_a_pod_is_run_by_hand_and_its_end_is_known(kubectl: Kubectl) -> None:
    words = (*BY_HAND, "--command", "--", "sh", "-c", "echo hello; exit 3")
    kubectl("run", "hello", *words)
    ended = kubectl.ended("hello")
    (container,) = ended["status"]["containerStatuses"]
    assert ended["status"]["phase"] == "Failed"
    assert container["state"]["terminated"]["exitCode"] == 3
    assert container["state"]["terminated"]["reason"] == "Error"
    assert ended["spec"]["nodeName"] == NODE
    assert kubectl.logged("hello") == "hello\n"


def test_a_pod_that_is_attached_to_as_it_is_run_shows_what_it_writes(kubectl: Kubectl) -> None:
    words = (*BY_HAND, "--rm", "-i", "--quiet", "--command", "--")
    done = kubectl("run", "once", *words, "sh", "-c", "read line; echo got $line", stdin="this\n")
    assert done.stdout == "got this\n"
    assert kubectl.gone("pod", "once")


def test_what_get_shows_is_what_users_know(kubectl: Kubectl) -> None:
    kubectl.running("shown")
    header, line = kubectl("get", "pod", "shown", "-o", "wide").stdout.splitlines()
    assert header.split()[:4] == ["NAME", "READY", "STATUS", "RESTARTS"]
    assert line.split()[:4] == ["shown", "1/1", "Running", "0"]
    assert NODE in line.split()


def test_wait_ends_with_each_condition_a_pod_comes_to(kubectl: Kubectl) -> None:
    kubectl.run("staged", "sleep 1", initContainers=[{"name": "first", "image": "busybox:1", "command": ["true"]}])
    kubectl.wait("pod/staged", "condition=Initialized")
    kubectl.wait("pod/staged", "condition=Ready")
    kubectl.wait("pod/staged", "jsonpath={.status.phase}=Succeeded")


def test_a_pod_is_described_with_the_events_of_its_life(kubectl: Kubectl) -> None:
    kubectl.running("described")
    reported(kubectl, "described", "Scheduled", "Created", "Started")
    said = kubectl("describe", "pod", "described").stdout
    assert f"Node:             {NODE}/" in said
    assert "Started" in said.partition("Events:")[2]


def test_events_are_listed_for_a_pod(kubectl: Kubectl) -> None:
    kubectl.run("listed", "true")
    kubectl.ended("listed")
    reported(kubectl, "listed", "Started")
    said = kubectl("events", "--for", "pod/listed").stdout
    assert "Started" in said
    assert "Pod/listed" in said


def test_the_node_is_described(stack: Stack) -> None:
    said = stack.kubectl("describe", "node", NODE).stdout
    assert "Ready" in said
    assert "Allocatable:" in said
    assert "type=virtual-kubelet" in said


# ---- what is missing or impossible -----------------------------------------------------------------------------------


def test_a_pod_waits_for_a_configmap_and_says_so(kubectl: Kubectl) -> None:
    source = {"configMapKeyRef": {"name": "late", "key": "word"}}
    kubectl.run("waiting", "echo $WORD", container={"env": [{"name": "WORD", "valueFrom": source}]})
    assert 'configmap "late" not found' in reported(kubectl, "waiting", "Failed")["Failed"]
    kubectl.wait(
        "pod/waiting", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError"
    )
    kubectl("create", "configmap", "late", "--from-literal=word=arrived")
    assert kubectl.ended("waiting")["status"]["phase"] == "Succeeded"
    assert kubectl.logged("waiting") == "arrived\n"


def test_a_pod_the_site_cannot_run_fails_in_words(kubectl: Kubectl) -> None:
    kubectl.run("privileged", "true", container={"securityContext": {"privileged": True}})
    status = kubectl.ended("privileged")["status"]
    assert status["phase"] == "Failed"
    assert status["reason"]
    assert "privileged" in status["message"]


def test_a_debug_container_waits_in_words(kubectl: Kubectl) -> None:
    kubectl.running("debugged")
    kubectl("debug", "debugged", "--image=busybox:1", "--container=extra", "--", "true")

    def told() -> object:
        found = kubectl.get("pod", "debugged")["status"].get("ephemeralContainerStatuses", [])
        return [each["state"]["waiting"]["message"] for each in found if each["name"] == "extra"]

    wait_until(told, "the debug container has a status")


def test_a_resize_is_infeasible_in_words(kubectl: Kubectl) -> None:
    kubectl.running("resized", container={"resources": {"requests": {"cpu": "1"}}})
    wanted = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "2"}}}]}}
    kubectl("patch", "pod", "resized", "--subresource=resize", "-p", json.dumps(wanted))

    def told() -> object:
        conditions = kubectl.get("pod", "resized")["status"]["conditions"]
        return [each for each in conditions if (each["type"], each.get("reason")) == ("PodResizePending", "Infeasible")]

    wait_until(told, "the resize is answered")


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_a_deleted_pod_is_told_and_says_goodbye(kubectl: Kubectl) -> None:
    kubectl.running("polite", "trap 'echo goodbye; exit 0' TERM; sleep 1000 & wait")
    with kubectl.popen("logs", "-f", "polite", stdout=-1) as following:
        kubectl("delete", "pod", "polite")
        out, _ = following.communicate(timeout=30)
    assert out == b"goodbye\n"
    assert kubectl.gone("pod", "polite")


def test_a_pod_that_does_not_listen_is_ended_when_its_grace_is_over(stack: Stack, kubectl: Kubectl) -> None:
    mark = unique()
    kubectl.running("deaf", f"{DEAF}; sleep {mark}", terminationGracePeriodSeconds=1000)
    began = time.monotonic()
    kubectl("delete", "pod", "deaf", "--grace-period=3")
    assert time.monotonic() - began >= 3
    assert not any(mark in line for line in stack.site.command_lines())


def test_a_pod_is_there_until_the_site_has_ended_it(stack: Stack, kubectl: Kubectl) -> None:
    kubectl.running("lingering", DEAF)
    kubectl("delete", "pod", "lingering", "--grace-period=4", "--wait=false")
    assert kubectl.get("pod", "lingering")["metadata"]["deletionGracePeriodSeconds"] == 4
    kubectl.wait("pod/lingering", "delete")


def test_a_pod_deleted_by_force_is_ended_at_the_site_too(stack: Stack, kubectl: Kubectl) -> None:
    mark = unique()
    kubectl.running("forced", f"sleep {mark} & {DEAF}")
    assert any(mark in line for line in stack.site.command_lines())
    kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    assert kubectl.gone("pod", "forced")
    wait_until(lambda: not any(mark in line for line in stack.site.command_lines()), "its processes end")


def test_a_pod_deleted_while_its_node_is_away_is_ended_later(stack: Stack, kubectl: Kubectl) -> None:
    mark = unique()
    kubectl.running("orphan", f"sleep {mark} & {DEAF}")
    stack.node.kill()
    try:
        kubectl("delete", "pod", "orphan", "--force", "--grace-period=0")
        assert any(mark in line for line in stack.site.command_lines())
    finally:
        stack.node.start()
    wait_until(lambda: not any(mark in line for line in stack.site.command_lines()), "its processes end", 60)


def test_a_pod_runs_on_while_its_node_is_away_and_its_end_is_told(stack: Stack, kubectl: Kubectl) -> None:
    kubectl.running("alone", "sleep 2; echo done")
    stack.node.kill()
    stack.node.start()
    assert kubectl.ended("alone")["status"]["phase"] == "Succeeded"
    assert kubectl.logged("alone") == "done\n"


def test_a_deleted_node_is_there_again_and_its_pods_live(stack: Stack, kubectl: Kubectl) -> None:
    kubectl.running("survivor")
    before = kubectl.get("pod", "survivor")
    uid = stack.kubectl.get("node", NODE)["metadata"]["uid"]
    stack.kubectl("delete", "node", NODE)

    def again() -> bool:
        done = stack.kubectl("get", "node", NODE, "-o", "jsonpath={.metadata.uid}", check=False)
        return done.returncode == 0 and done.stdout not in ("", uid)

    wait_until(again, "the node is made again")
    stack.kubectl.wait(f"node/{NODE}", "condition=Ready")
    after = kubectl.get("pod", "survivor")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]


def test_a_cordoned_node_takes_no_pods_until_it_is_uncordoned(stack: Stack, kubectl: Kubectl) -> None:
    kubectl("cordon", NODE)
    try:
        kubectl.run("patient", "true")
        reported(kubectl, "patient", "FailedScheduling")
        assert "nodeName" not in kubectl.get("pod", "patient")["spec"]
    finally:
        kubectl("uncordon", NODE)
    assert kubectl.ended("patient")["status"]["phase"] == "Succeeded"


def test_a_drained_pod_is_evicted_with_its_grace(stack: Stack, kubectl: Kubectl) -> None:
    kubectl.running("drained", "trap 'echo goodbye; exit 0' TERM; sleep 1000 & wait")
    kubectl("label", "pod", "drained", f"drain={kubectl.namespace}")
    try:
        with kubectl.popen("logs", "-f", "drained", stdout=-1) as following:
            kubectl("drain", NODE, "--force", f"--pod-selector=drain={kubectl.namespace}")
            out, _ = following.communicate(timeout=30)
    finally:
        kubectl("uncordon", NODE)
    assert out == b"goodbye\n"
    assert kubectl.gone("pod", "drained")


# ---- what is measured ------------------------------------------------------------------------------------------------


def test_a_busy_pods_cpu_is_measured(stack: Stack, kubectl: Kubectl) -> None:
    kubectl.running("busy", "while :; do :; done")
    name = f'container_cpu_usage_seconds_total{{container="main",namespace="{kubectl.namespace}",pod="busy"}}'

    def seconds() -> float:
        said = kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics/resource").stdout
        found = [line.split()[1] for line in said.splitlines() if line.startswith(name)]
        return float(found[0]) if found else 0.0

    wait_until(lambda: seconds() > 0.5, "half a second of CPU is counted", 60)


def test_what_runs_is_in_the_nodes_summary_and_list(stack: Stack, kubectl: Kubectl) -> None:
    kubectl.running("counted")
    raw = f"/api/v1/nodes/{NODE}/proxy"
    mine = {"name": "counted", "namespace": kubectl.namespace}

    def counted() -> bool:
        summary = json.loads(kubectl("get", "--raw", f"{raw}/stats/summary").stdout)
        assert summary["node"]["nodeName"] == NODE
        return any(mine.items() <= each["podRef"].items() for each in summary["pods"])

    wait_until(counted, "it is among what is counted, which is looked at once a second")
    listed = json.loads(kubectl("get", "--raw", f"{raw}/pods").stdout)
    assert [each for each in listed["items"] if mine.items() <= each["metadata"].items()]


def test_two_pods_of_one_name_are_never_taken_for_one_another(kubectl: Kubectl) -> None:
    kubectl.running("again", "echo first; trap 'exit 0' TERM; sleep 1000 & wait")
    kubectl("delete", "pod", "again", "--force", "--grace-period=0")
    kubectl.create(pod("again", "echo second"))
    assert kubectl.ended("again")["status"]["phase"] == "Succeeded"
    assert kubectl.logged("again") == "second\n"
