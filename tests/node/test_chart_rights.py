"""What the node's process does in a cluster is what the chart's roles say: no call beside them, and none idle."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from functools import partial
from typing import Any

import pytest

from tests.node import chart
from tests.node.kubectl import Kubectl, pod
from tests.node.stack import NODE, Stack
from tests.sites.site import wait_until

pytestmark = pytest.mark.system

CALL = re.compile(r'farnode_node_api_calls_total\{call="(\S+) (\S+)"\} \d+')
ELSEWHERE = {
    ("get", "leases"): "the replicas' Lease, where there are several: test_chart_image",
    ("update", "leases"): "likewise",
    ("patch", "nodes/status"): "what the site offers, when that changes, and every five minutes",
    ("patch", "nodes"): "labels and taints, when the site offers something else or cannot be reached",
    ("get", "pods"): "a pod of the site that the watch did not name, asked for before it is ended",
    ("get", "events"): "an Event that another process wrote before",
    ("patch", "events"): "an Event that comes again",
    ("get", "clustertrustbundles"): "an API that clusters have to turn on: test_inputs",
    ("list", "clustertrustbundles"): "likewise",
}
"""Rights whose use a few pods do not show, and what they are for."""


def given() -> set[tuple[str, str]]:
    roles = (each for each in chart.render({"nodes": [chart.node(NODE)]}) if each["kind"] in ("ClusterRole", "Role"))
    rules = [rule for role in roles for rule in role["rules"]]
    return {(verb, resource) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def made(kubectl: Kubectl) -> set[tuple[str, str]]:
    """As the process counts its calls."""
    said = kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics").stdout
    return {(match[1], match[2]) for match in CALL.finditer(said)}


def test_no_right_is_idle_and_none_is_missing(stack: Stack, kubectl: Kubectl) -> None:
    kubectl.create(_claim(), *_waiting())
    _scrape(stack, kubectl("create", "token", "default").stdout.strip())
    for kind, words in (("configmaps", ["configmap", "words"]), ("secrets", ["secret", "generic", "key"])):
        wait_until(partial(_calls, kubectl, ("watch", kind)), f"{kind} that are missing are watched", 60)
        kubectl("create", *words, "--from-literal=a=b")
    assert kubectl.ended("uses-all")["status"]["phase"] == "Succeeded"
    wait_until(partial(_calls, kubectl, ("patch", "pods")), "a pod that lasts is to stay without this process", 90)
    kubectl("delete", "pod", "lasts", "uses-all")  # what has ended the API server removes itself
    assert given() - made(kubectl) - set(ELSEWHERE) == set()
    assert made(kubectl) - given() == set()


def _calls(kubectl: Kubectl, call: tuple[str, str]) -> bool:
    return call in made(kubectl)


def _waiting() -> list[dict[str, Any]]:
    """A pod whose references are not there yet, and one that lasts. No scheduler is asked: nobody provides
    the claim's volume but the site."""
    sources = [
        {"name": "words", "configMap": {"name": "words"}},
        {"name": "key", "secret": {"secretName": "key"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    return [
        pod("uses-all", "exit 0", volumes=sources, nodeName=NODE),
        pod("lasts", "trap 'exit 0' TERM; sleep 1000 & wait"),
    ]


def _claim() -> dict[str, Any]:
    wanted = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteMany"], "resources": wanted, "storageClassName": "scratch"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}


def _scrape(stack: Stack, token: str) -> None:
    """By somebody who may not: both reviews are asked for."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    url = f"https://{stack.node.address}:{stack.node.port}/metrics"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10, context=trusting)
    refused.value.close()
    assert refused.value.code == 403
