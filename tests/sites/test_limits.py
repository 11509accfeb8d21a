"""What containers may use and do use, through all of it: a real gateway, a real runner."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from farnode import Client, Pod
from tests.sites import EmbeddedSite, wait_until

HOG = "held = b'x' * (300 << 20); import time; time.sleep(600)"


def pod(name: str, *command: str, **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"farnode.io/runtime": "process"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "none", "command": [*command], **container}],
        },
    }


@pytest.fixture(scope="module")
def site() -> Iterator[EmbeddedSite]:
    with EmbeddedSite(gpus=0) as embedded:
        yield embedded


def state(found: Pod) -> Any:
    return found.container_statuses["main"]["state"]


def test_limits_are_kept_and_use_is_told(site: EmbeddedSite) -> None:
    with site.client() as client:
        limits = {"limits": {"memory": "100Mi", "cpu": "500m"}}
        hog = client.run(pod("hog", sys.executable, "-S", "-c", HOG, resources=limits))
        assert (state(hog)["terminated"]["exitCode"], state(hog)["terminated"]["reason"]) == (137, "OOMKilled")
        (sleeper,) = client.submit(pod("sleeper", "sleep", "600", resources=limits))
        wait_until(lambda: client.pod(sleeper).phase == "Running", "the pod runs")
        view = client.stats()
        assert view["missing"] == []
        (usage,) = [one for one in view["pods"] if one["uid"] == sleeper.uid]
        (container,) = usage["containers"]
        assert (usage["name"], container["name"], container["processes"]) == ("sleeper", "main", 1)
        assert container["memory"] < 10 << 20
        client.delete(sleeper)
        client.wait(sleeper)
        assert client.stats() == {"pods": [], "missing": []}


def test_pods_that_claim_a_port_take_turns(site: EmbeddedSite) -> None:
    ports = {"ports": [{"containerPort": 50099}]}
    with site.client() as client:
        first, second = client.submit([pod("a", "sleep", "600", **ports), pod("b", "true", **ports)])
        wait_until(lambda: running(client, first), "the first runs")
        assert client.pod(second).phase == "Pending"
        client.delete(first)
        assert client.wait(second).phase == "Succeeded"
        client.wait(first)


def running(client: Client, found: Pod) -> bool:
    return client.pod(found).phase == "Running"
