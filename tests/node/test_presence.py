"""A Node object and its Lease in a real cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from farnode.errors import NotFound
from farnode.model.api import SiteView
from farnode.node.kube.api import KubeApi, Patch
from farnode.node.kube.connection import Connection
from farnode.node.presence import lease
from farnode.node.presence.keeper import Endpoint, Pace, Presence, Taken
from farnode.node.presence.settings import NodeSettings
from tests.testbed.kubernetes import ControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.system]
Json = dict[str, Any]
GIB = 1024**3
PATIENCE = 60.0
"""Seconds; a busy machine."""
SITE = SiteView(
    name="vega",
    offers=[{"name": "cpu", "cores": 64, "memory": 256 * GIB, "nodes": 2, "partition": "cpu", "gpus": []}],
)
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def smaller() -> SiteView:
    site = SITE.copy()
    site["offers"] = [{**SITE["offers"][0], "nodes": 1}]
    return site


@pytest.fixture
async def api(plane: ControlPlane) -> AsyncIterator[KubeApi]:
    async with KubeApi(Connection(plane.kubeconfig)) as api:
        yield api


@asynccontextmanager
async def present(api: KubeApi, name: str, pace: Pace | None = None, **settings: Any) -> AsyncIterator[Presence]:
    presence = Presence(
        api, NodeSettings(name, **settings), Endpoint("127.0.0.1", 10250), time.time, pace or Pace(change=0.05)
    )
    running = asyncio.create_task(presence.run())
    try:
        yield presence
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.wait([running])


async def removed(api: KubeApi, name: str) -> None:
    with suppress(NotFound):
        await api.delete(f"/api/v1/nodes/{name}")


async def until(presence: Presence, holds: Callable[[Json], object]) -> Json:
    """The node when it holds."""
    async with asyncio.timeout(PATIENCE):
        while not (presence.node and holds(presence.node)):
            await asyncio.sleep(0.02)
    return presence.node


def condition(node: Json, kind: str) -> str:
    return next((str(one["status"]) for one in node["status"]["conditions"] if one["type"] == kind), "")


def taints(node: Json) -> set[str]:
    return {taint["key"] for taint in node["spec"].get("taints") or ()}


async def test_a_node_is_there_with_its_lease(api: KubeApi, plane: ControlPlane) -> None:
    async with present(api, "there") as presence:
        presence.note_certificate("request r waits for approval")
        presence.observe(SITE)
        node = await until(presence, lambda node: taints(node) == {"virtual-kubelet.io/provider"})
        lines = (await asyncio.to_thread(plane.kubectl, "get", "node", "there", "--no-headers")).stdout.split()
        held = await wait_for_lease(api, "there")
    assert lines[:3] == ["there", "Ready", "<none>"]
    assert node["metadata"]["labels"]["farnode.io/partition"] == "cpu"
    assert node["status"]["allocatable"]["cpu"] == "128"
    assert node["status"]["declaredFeatures"] == ["ExtendWebSocketsToKubelet"]
    assert condition(node, "ServingCertificate") == "False"
    assert held["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
    assert held["spec"]["holderIdentity"] == "there"
    assert held["spec"]["leaseDurationSeconds"] == 40
    await removed(api, "there")


async def wait_for_lease(api: KubeApi, name: str) -> Json:
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(NotFound):
                found = await api.get(f"{LEASES}/{name}")
                if found["metadata"].get("ownerReferences"):
                    return found
            await asyncio.sleep(0.02)


async def test_nothing_is_written_where_nothing_changes(api: KubeApi) -> None:
    async with present(api, "quiet") as presence:
        presence.observe(SITE)
        await until(presence, lambda node: taints(node) == {"virtual-kubelet.io/provider"})
        before = api.calls["patch nodes/status"], api.calls["patch nodes"]
        for _ in range(20):
            presence.observe(SITE.copy())
            await asyncio.sleep(0.02)
        assert (api.calls["patch nodes/status"], api.calls["patch nodes"]) == before
        presence.observe(smaller())
        await until(presence, lambda node: node["status"]["allocatable"]["cpu"] == "64")
    assert api.calls["patch nodes/status"] == before[0] + 1
    await removed(api, "quiet")


async def test_changes_in_quick_succession_are_one_patch(api: KubeApi) -> None:
    async with present(api, "calm", Pace(change=1.0)) as presence:
        presence.observe(SITE)
        await until(presence, lambda node: "node.kubernetes.io/not-ready" not in taints(node))
        for number in range(30):
            presence.observe(smaller() if number % 2 else SITE)
            await asyncio.sleep(0.01)
        await until(presence, lambda node: node["status"]["allocatable"]["cpu"] == "64")
    assert api.calls["patch nodes/status"] <= 2
    await removed(api, "calm")


async def test_what_did_not_change_is_said_again_after_a_while(api: KubeApi) -> None:
    async with present(api, "beats", Pace(change=0.05, heartbeat=0.2)) as presence:
        presence.observe(SITE)
        async with asyncio.timeout(PATIENCE):
            while api.calls["patch nodes/status"] < 3:
                await asyncio.sleep(0.02)
    await removed(api, "beats")


async def test_a_deleted_node_is_there_again_at_once(api: KubeApi) -> None:
    async with present(api, "phoenix", Pace(change=600.0)) as presence:
        presence.observe(SITE)
        first = await until(presence, lambda node: node["status"].get("allocatable"))
        began = time.monotonic()
        await api.delete("/api/v1/nodes/phoenix")
        uid = first["metadata"]["uid"]
        again = await until(presence, lambda node: node["metadata"]["uid"] != uid)
        assert time.monotonic() - began < 5
    assert again["status"]["allocatable"] == first["status"]["allocatable"]
    await removed(api, "phoenix")


async def test_an_unreachable_site_stays_ready_and_gets_no_new_pods(api: KubeApi) -> None:
    async with present(api, "cut-off") as presence:
        presence.observe(SITE)
        await until(presence, lambda node: taints(node) == {"virtual-kubelet.io/provider"})
        presence.observe(None, "connection refused")
        away = {"virtual-kubelet.io/provider", "farnode.io/site-unreachable", "node.kubernetes.io/network-unavailable"}
        node = await until(presence, lambda node: taints(node) == away)
        assert (condition(node, "Ready"), condition(node, "SiteReachable")) == ("True", "False")
        assert node["status"]["allocatable"]["cpu"] == "128"
        presence.observe(SITE)
        node = await until(presence, lambda node: taints(node) == {"virtual-kubelet.io/provider"})
        assert condition(node, "SiteReachable") == "True"
    await removed(api, "cut-off")


async def test_a_process_that_starts_while_its_site_is_away_takes_nothing_back(api: KubeApi) -> None:
    async with present(api, "restarted") as presence:
        presence.observe(SITE)
        before = await until(presence, lambda node: node["status"].get("allocatable"))
    async with present(api, "restarted") as presence:
        presence.observe(None, "no route to host")
        node = await until(presence, lambda node: condition(node, "SiteReachable") == "False")
    assert node["metadata"]["uid"] == before["metadata"]["uid"]
    assert node["status"]["allocatable"] == before["status"]["allocatable"]
    assert node["metadata"]["labels"]["farnode.io/partition"] == "cpu"
    await removed(api, "restarted")


async def test_what_an_administrator_edits_stays(api: KubeApi) -> None:
    path = "/api/v1/nodes/edited"
    async with present(api, "edited", labels={"rack": "a", "row": "1"}) as presence:
        presence.observe(SITE)
        await until(presence, lambda node: taints(node) == {"virtual-kubelet.io/provider"})
        taint = {"key": "maintenance", "effect": "NoSchedule"}
        edit = {"metadata": {"labels": {"rack": "b", "row": None, "own": "x"}}, "spec": {"taints": [taint]}}
        await api.patch(path, edit, Patch.MERGE)
        presence.observe(None, "away")
        await until(presence, lambda node: "farnode.io/site-unreachable" in taints(node))
        presence.observe(SITE)
        node = await until(presence, lambda node: taints(node) == {"maintenance"})
        labels = node["metadata"]["labels"]
        assert (labels["rack"], labels.get("row"), labels["own"]) == ("b", None, "x")
    await removed(api, "edited")


async def test_a_living_node_of_somebody_else_is_left_alone(api: KubeApi) -> None:
    await api.create("/api/v1/nodes", {"metadata": {"name": "foreign"}})
    await lease.NodeLease(api, "foreign", time.time).renew()
    presence = Presence(api, NodeSettings("foreign"), Endpoint("127.0.0.1", 1), time.time)
    presence.observe(SITE)
    with pytest.raises(Taken, match="there is a node foreign"):
        await asyncio.wait_for(presence.run(), PATIENCE)
    node = await api.get("/api/v1/nodes/foreign")
    assert "farnode.io/site" not in node["metadata"].get("labels", {})
    assert api.calls["patch leases"] == 1
    later = lambda: time.time() + 3600  # noqa: E731
    assert not await lease.NodeLease(api, "foreign", later).lives()
    await removed(api, "foreign")


async def test_a_machine_that_is_down_is_no_less_somebody_elses(api: KubeApi) -> None:
    keys = ("bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "kubeletVersion", "osImage")
    info = dict.fromkeys((*keys, "machineID", "systemUUID", "operatingSystem", "architecture"), "x")
    await api.create("/api/v1/nodes", {"metadata": {"name": "machine"}, "status": {"nodeInfo": info}})
    presence = Presence(api, NodeSettings("machine"), Endpoint("127.0.0.1", 1), time.time)
    with pytest.raises(Taken, match="there is a node machine"):
        await asyncio.wait_for(presence.run(), PATIENCE)
    await removed(api, "machine")


async def test_a_node_that_somebody_left_behind_is_adopted(api: KubeApi) -> None:
    made = await api.create("/api/v1/nodes", {"metadata": {"name": "left", "labels": {"keep": "me"}}})
    async with present(api, "left") as presence:
        presence.observe(SITE)
        node = await until(presence, lambda node: "farnode.io/site" in node["metadata"]["labels"])
    assert node["metadata"]["uid"] == made["metadata"]["uid"]
    assert node["metadata"]["labels"]["keep"] == "me"
    await removed(api, "left")


async def test_the_lease_is_renewed(api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PERIOD", 0.5)
    async with present(api, "renewed") as presence:
        presence.observe(SITE)
        first = await wait_for_lease(api, "renewed")
        async with asyncio.timeout(PATIENCE):
            while (await api.get(f"{LEASES}/renewed"))["spec"]["renewTime"] <= first["spec"]["renewTime"]:
                await asyncio.sleep(0.05)
        await api.delete(f"{LEASES}/renewed")
        assert (await wait_for_lease(api, "renewed"))["spec"]["renewTime"] > first["spec"]["renewTime"]
    await removed(api, "renewed")


@pytest.fixture
def node_identity(plane: ControlPlane) -> Path:
    return plane.identity("system:node:least", ["system:nodes"])


@pytest.fixture
def service_account(plane: ControlPlane) -> Path:
    plane.kubectl("create", "serviceaccount", "presence")
    rules = ["--verb=get,list,watch,create,patch", "--resource=nodes,nodes/status,leases.coordination.k8s.io"]
    plane.kubectl("create", "clusterrole", "presence", *rules)
    plane.kubectl(
        "create", "clusterrolebinding", "presence", "--clusterrole=presence", "--serviceaccount=default:presence"
    )
    return plane.service_account("default", "presence")


@pytest.mark.parametrize("identity", ["node_identity", "service_account"])
async def test_with_no_more_rights_than_it_needs(api: KubeApi, identity: str, request: pytest.FixtureRequest) -> None:
    await removed(api, "least")
    async with KubeApi(Connection(request.getfixturevalue(identity))) as ours, present(ours, "least") as presence:
        presence.observe(SITE)
        await until(presence, lambda node: taints(node) == {"virtual-kubelet.io/provider"})
        await wait_for_lease(api, "least")
        presence.observe(None, "away")
        node = await until(presence, lambda node: "node.kubernetes.io/network-unavailable" in taints(node))
        assert condition(node, "Ready") == "True"
        presence.observe(replaced_partition())
        node = await until(presence, lambda node: node["metadata"]["labels"].get("farnode.io/partition") == "other")
        await until(presence, lambda node: taints(node) == {"virtual-kubelet.io/provider"})
    await removed(api, "least")


def replaced_partition() -> SiteView:
    site = SITE.copy()
    site["offers"] = [{**SITE["offers"][0], "partition": "other"}]
    return site
