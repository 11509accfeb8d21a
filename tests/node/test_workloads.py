"""Kubernetes' own controllers with their pods at a site: judged by what the API says."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from contextlib import suppress
from typing import Any

import pytest

from tests.node.kubectl import PROCESS, Json, Kubectl
from tests.node.stack import Stack
from tests.sites.site import ADMIN, MARK, wait_until

pytestmark = pytest.mark.system

UNTIL_GO = "until grep -q go /etc/word/word; do sleep 0.1; done"
SLEEP = "trap 'exit 0' TERM; sleep 1000 & wait"


def template(script: str, labels: Json | None = None, **spec: Any) -> Json:
    """Of pods with one container `main`."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script], **spec.pop("container", {})}
    metadata = {"labels": labels or {}, "annotations": PROCESS}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def job(name: str, script: str, **spec: Any) -> Json:
    made = template(script, restartPolicy="Never")
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": made, **spec}}


def replicated(kind: str, name: str, script: str, replicas: int, **spec: Any) -> Json:
    labels = {"app": name}
    whole = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(script, labels), **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": whole}


def ended(kubectl: Kubectl, name: str) -> tuple[str, Json]:
    """How a Job ended (Complete, Failed), and its status."""
    seen: list[Json] = []

    def over() -> bool:
        seen[:] = [kubectl.get("job", name)["status"]]
        return _final(seen[0]) is not None

    wait_until(over, f"job {name} ends", 90)
    return str(_final(seen[0])), seen[0]


def _final(status: Json) -> str | None:
    conditions = status.get("conditions", [])
    return next((each["type"] for each in conditions if each["type"] in ("Complete", "Failed")), None)


# ---- Deployment, StatefulSet -----------------------------------------------------------------------------------------


def test_a_deployment_is_scaled_rolled_out_and_deleted(kubectl: Kubectl) -> None:
    kubectl.create(replicated("Deployment", "web", SLEEP, 3))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("scale", "deployment/web", "--replicas=5")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("set", "env", "deployment/web", "COLOUR=green")
    kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    pods = [each for each in kubectl.list("pods", "-l", "app=web") if "deletionTimestamp" not in each["metadata"]]
    assert len(pods) == 5
    assert all(each["spec"]["containers"][0]["env"] == [{"name": "COLOUR", "value": "green"}] for each in pods)
    kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=60s", timeout=90)
    assert kubectl.list("pods", "-l", "app=web") == []


def test_a_pod_of_a_deployment_that_is_deleted_is_replaced(kubectl: Kubectl) -> None:
    kubectl.create(replicated("Deployment", "web", SLEEP, 1))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    (first,) = kubectl.list("pods", "-l", "app=web")
    kubectl("delete", "pod", first["metadata"]["name"])
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    (second,) = kubectl.list("pods", "-l", "app=web")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


def test_a_statefulsets_pods_come_in_order_and_keep_their_names(kubectl: Kubectl) -> None:
    kubectl.create(replicated("StatefulSet", "db", SLEEP, 3, serviceName="db"))
    kubectl("rollout", "status", "statefulset/db", "--timeout=90s", timeout=120)
    pods = kubectl.list("pods", "-l", "app=db")
    assert [each["metadata"]["name"] for each in pods] == ["db-0", "db-1", "db-2"]
    started = [each["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] for each in pods]
    assert started == sorted(started)
    kubectl("delete", "pod", "db-1")
    kubectl("rollout", "status", "statefulset/db", "--timeout=90s", timeout=120)
    assert kubectl.get("pod", "db-1")["metadata"]["uid"] != pods[1]["metadata"]["uid"]


# ---- Job -------------------------------------------------------------------------------------------------------------


def test_a_parallel_job_completes(kubectl: Kubectl) -> None:
    kubectl.create(job("many", "sleep 0.2", completions=12, parallelism=4))
    how, status = ended(kubectl, "many")
    assert (how, status["succeeded"]) == ("Complete", 12)


def test_each_pod_of_an_indexed_job_knows_its_number(kubectl: Kubectl) -> None:
    kubectl.create(job("indexed", "echo $JOB_COMPLETION_INDEX", completions=4, parallelism=4, completionMode="Indexed"))
    how, status = ended(kubectl, "indexed")
    assert (how, status["completedIndexes"]) == ("Complete", "0-3")
    logged = kubectl("logs", "-l", "job-name=indexed", "--tail=-1").stdout.split()
    assert sorted(logged) == ["0", "1", "2", "3"]


def test_a_job_gives_up_after_its_backoff_limit(kubectl: Kubectl) -> None:
    kubectl.create(job("failing", "exit 1", backoffLimit=1))
    how, status = ended(kubectl, "failing")
    assert (how, status["failed"]) == ("Failed", 2)
    assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"


def test_a_job_fails_at_once_on_an_exit_code_that_its_policy_names(kubectl: Kubectl) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    kubectl.create(job("told", "exit 42", backoffLimit=6, podFailurePolicy={"rules": [rule]}))
    how, status = ended(kubectl, "told")
    assert (how, status["failed"]) == ("Failed", 1)
    assert status["conditions"][-1]["reason"] == "PodFailurePolicy"


def test_a_job_does_not_count_pods_whose_allocation_was_lost(stack: Stack, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "word", "--from-literal=word=wait")
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    document = job("disrupted", UNTIL_GO, backoffLimit=0, podFailurePolicy={"rules": [rule]})
    document["spec"]["template"]["spec"] |= {"volumes": [{"name": "word", "configMap": {"name": "word"}}]}
    document["spec"]["template"]["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "word", "mountPath": "/etc/word"}]
    }
    kubectl.create(document)
    kubectl.wait("job/disrupted", "jsonpath={.status.ready}=1")
    (first,) = kubectl.list("pods", "-l", "job-name=disrupted")
    _lose_allocation(stack, f"{kubectl.namespace}/{first['metadata']['name']}")
    kubectl.wait(f"pod/{first['metadata']['name']}", "jsonpath={.status.phase}=Failed")
    kubectl("patch", "configmap", "word", "-p", json.dumps({"data": {"word": "go"}}))
    how, status = ended(kubectl, "disrupted")
    assert (how, status["succeeded"], status.get("failed", 0)) == ("Complete", 1, 0)
    lost = kubectl.get("pod", first["metadata"]["name"])
    assert (lost["status"]["phase"], lost["status"]["reason"]) == ("Failed", "RunnerLost")
    assert _condition(lost, "DisruptionTarget") == "True"


def _lose_allocation(stack: Stack, pod: str) -> None:
    """Kills all that is there of the allocation in which a pod runs: the site's batch system finds it ended."""
    with stack.site.client(ADMIN) as client:

        def nonces() -> set[str]:
            return {each["nonce"] for each in client.site()["allocations"] if pod in each["running"]}

        wait_until(nonces, f"{pod} is seen in its allocation")
        (nonce,) = nonces()
    for each in stack.site.processes():
        if nonce == each.environ.get(MARK) or any(nonce in word for word in each.cmdline):
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)


def _condition(pod: Json, kind: str) -> str:
    return next((str(each["status"]) for each in pod["status"]["conditions"] if each["type"] == kind), "")


def test_a_finished_job_is_removed_when_its_time_is_over(kubectl: Kubectl) -> None:
    kubectl.create(job("brief", "true", ttlSecondsAfterFinished=1))
    kubectl.wait("job/brief", "delete")
    wait_until(lambda: kubectl.list("pods", "-l", "job-name=brief") == [], "its pods are gone")


def test_a_deadline_ends_a_job(kubectl: Kubectl) -> None:
    kubectl.create(job("endless", SLEEP, activeDeadlineSeconds=3))
    how, status = ended(kubectl, "endless")
    assert (how, status["conditions"][-1]["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_suspended_job_has_no_pods_until_it_is_resumed(kubectl: Kubectl) -> None:
    kubectl.create(job("paused", SLEEP))
    kubectl.wait("job/paused", "jsonpath={.status.ready}=1")
    kubectl("patch", "job", "paused", "-p", json.dumps({"spec": {"suspend": True}}))
    wait_until(lambda: kubectl.list("pods", "-l", "job-name=paused") == [], "its pod is gone", 60)
    kubectl("patch", "job", "paused", "-p", json.dumps({"spec": {"suspend": False}}))
    kubectl.wait("job/paused", "jsonpath={.status.ready}=1")


def test_a_cronjob_makes_jobs(kubectl: Kubectl) -> None:
    made = job("unused", "echo tick")["spec"]
    kubectl.create(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "clock"},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": made}},
        }
    )
    wait_until(lambda: kubectl.list("jobs"), "a minute begins", 90)
    (first, *_) = kubectl.list("jobs")
    how, _ = ended(kubectl, first["metadata"]["name"])
    assert how == "Complete"
    assert kubectl("logs", f"job/{first['metadata']['name']}").stdout == "tick\n"


# ---- ConfigMap -------------------------------------------------------------------------------------------------------


def test_a_running_pod_sees_an_updated_configmap(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=word=old")
    script = "cat /etc/settings/word; echo; until grep -q new /etc/settings/word; do sleep 0.1; done; echo seen"
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}]
    mounts = {"volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}]}
    kubectl.running("reader", script, container=mounts, volumes=volumes)
    kubectl("patch", "configmap", "settings", "-p", json.dumps({"data": {"word": "new"}}))
    began = time.monotonic()
    assert kubectl.ended("reader")["status"]["phase"] == "Succeeded"
    print(f"a running pod saw the new ConfigMap after {time.monotonic() - began:.1f} s")
    assert kubectl.logged("reader") == "old\nseen\n"


def test_a_pod_has_a_token_of_its_service_account(kubectl: Kubectl) -> None:
    mount = "/var/run/secrets/kubernetes.io/serviceaccount"
    kubectl.run("identified", f"cat {mount}/namespace; echo; cut -d. -f2 {mount}/token")
    kubectl.ended("identified")
    namespace, claims = kubectl.logged("identified").split()
    assert namespace == kubectl.namespace
    decoded = json.loads(_unpadded(claims))
    assert decoded["kubernetes.io"]["pod"]["name"] == "identified"
    assert decoded["sub"] == f"system:serviceaccount:{kubectl.namespace}:default"


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
