"""The site itself: its gateway can be killed and comes back to its pods, and nothing is left of it at the end."""

from __future__ import annotations

import signal

import pytest

from farnode import Client
from tests.sites import EmbeddedSite, wait_until

SLEEPER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "sleeper", "annotations": {"farnode.io/runtime": "process"}},
    "spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "none", "command": ["sleep", "600"]}],
    },
}


def phase(client: Client, uid: str) -> str:
    return client.pod(uid).phase


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_gateway_that_ends_finds_its_pods_again(number: int) -> None:
    with EmbeddedSite(gpus=0) as site, site.client() as client:
        (pod,) = client.submit(SLEEPER)
        wait_until(lambda: phase(client, pod.uid) == "Running", "the pod runs")
        first = site.pid
        site.restart(number)
        assert site.pid != first
        assert phase(client, pod.uid) == "Running"
        assert [process.cmdline for process in site.processes() if not process.is_runner][-1] == ("sleep", "600")
        assert client.pod(pod.uid).attempt == 1
        client.delete(pod)
        assert client.wait(pod).container_statuses["main"]["state"]["terminated"]["exitCode"] == 143
    assert not site.processes()
    assert not site.directory.exists()
