"""What pods refer to, from a real API server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import pytest

from farnode.model.bundle import parse_bundle
from farnode.node.alarms import Alarms
from farnode.node.objects import READ_AGAIN, WATCH_AFTER, Key, Objects
from farnode.node.pods.bundle import bundle
from tests.testbed.kubernetes import ControlPlane

from .live import Json, Live, living
from .source import Clock, Heard, collected, mounted, running, token, until


@pytest.fixture(scope="module")
def live(plane: ControlPlane) -> Iterator[Live]:
    with living(plane.kubeconfig) as live:
        yield live


def test_alarms() -> None:
    alarms = Alarms()
    alarms.set("a", 5.0)
    alarms.set("b", 3.0)
    alarms.set("a", 2.0)
    alarms.set("c", 1.0)
    alarms.clear("c")
    assert list(alarms.due(1.9)) == []
    assert list(alarms.due(4.0)) == ["a", "b"]
    assert list(alarms.due(9.0)) == []


def test_alarms_do_not_grow_with_what_is_set_again() -> None:
    alarms = Alarms()
    for at in range(10_000):
        alarms.set("a", float(at))
    assert len(alarms._heap) < 2000
    assert list(alarms.due(10_000.0)) == ["a"]


@pytest.mark.system
def test_all_at_once(live: Live) -> None:
    live.run(all_at_once(live))


async def all_at_once(live: Live) -> None:
    await live.create("configmaps", "all-settings", data={"k": "v"})
    await live.create("secrets", "all-key", data={"k": base64.b64encode(b"v").decode()})
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    await live.create("persistentvolumeclaims", "all-data", spec=claim)
    main = {
        "name": "main",
        "image": "busybox:1.36",
        "env": [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "all-settings", "key": "k"}}}],
        "envFrom": [{"secretRef": {"name": "not-there", "optional": True}}],
    }
    volumes = [
        {"name": "s", "secret": {"secretName": "all-key"}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "all-data"}},
        {"name": "t", "projected": {"sources": [token("vault")]}},
    ]
    pod = await live.pod(containers=[main], volumes=volumes, imagePullSecrets=[{"name": "registry"}])
    async with running(live.api) as source:
        found = await source.inputs.collect(pod)
        read = parse_bundle(bundle(pod, found))
    assert read.config_maps["all-settings"].data == {"k": b"v"}
    assert read.secrets["all-key"].data == {"k": b"v"}
    assert [one.name for one in read.claims] == ["all-data"]
    assert "vault" in read.inputs.tokens
    assert read.inputs.tokens["vault"] not in repr(found)
    assert [one["metadata"]["name"] for one in found.config_maps] == ["kube-root-ca.crt", "all-settings"]


@pytest.mark.system
def test_what_is_missing_comes(live: Live) -> None:
    live.run(comes(live))


async def comes(live: Live) -> None:
    key = {"valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}
    main = {"name": "main", "image": "busybox:1.36", "env": [{"name": "K", **key}]}
    pod = await live.pod(containers=[main])
    uid = pod["metadata"]["uid"]
    async with running(live.api) as source:
        missing = await source.missing(pod)
        assert (missing.reason, missing.waiting) == ("Failed", "CreateContainerConfigError")
        assert missing.message == 'Error: secret "late" not found'
        await live.create("secrets", "late", stringData={"other": "v"})
        await source.heard.wait(uid)
        await collected(source, pod, f"Error: couldn't find key k in Secret {live.namespace}/late")
        await live.api.patch(live.path("secrets", "late"), {"stringData": {"k": "v"}})
        await source.heard.wait(uid)
        await collected(source, pod, "")


@pytest.mark.system
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (mounted("configMap", "nowhere"), 'configmap "nowhere" not found'),
        (mounted("secret", "nowhere"), 'secret "nowhere" not found'),
        (mounted("persistentVolumeClaim", "", claimName="nowhere"), 'persistentvolumeclaim "nowhere" not found'),
    ],
)
def test_volumes_that_cannot_be_made(live: Live, spec: Json, words: str) -> None:
    spec["volumes"][0].get("persistentVolumeClaim", {}).pop("name", None)

    async def collect() -> None:
        pod = await live.pod(**spec)
        async with running(live.api) as source:
            missing = await source.missing(pod)
            assert missing.message == f'MountVolume.SetUp failed for volume "v" : {words}'
            assert (missing.reason, missing.waiting) == ("FailedMount", "ContainerCreating")
            await source.heard.wait(pod["metadata"]["uid"])

    live.run(collect())


@pytest.mark.system
def test_what_changes_is_heard_of(live: Live) -> None:
    live.run(changes(live))


async def changes(live: Live) -> None:
    await live.create("configmaps", "watched", data={"k": "1"})
    pods = [await live.pod(**mounted("configMap", "watched")) for _ in range(3)]
    async with running(live.api) as source:
        await asyncio.gather(*(source.inputs.collect(pod) for pod in pods))
        await until(lambda: source.inputs._objects.watches == 2)
        await live.api.patch(live.path("configmaps", "watched"), {"data": {"k": "2"}})
        await until(lambda: len(source.heard) == 3)
        assert sorted(source.heard) == sorted(pod["metadata"]["uid"] for pod in pods)
        found = await source.inputs.collect(pods[0])
        assert [one["data"] for one in found.config_maps if one["metadata"]["name"] == "watched"] == [{"k": "2"}]
        source.heard.clear()
        await live.api.patch(live.path("configmaps", "watched"), {"metadata": {"annotations": {"a": "b"}}})
        await live.api.patch(live.path("configmaps", "watched"), {"data": {"k": "3"}})
        await until(lambda: len(source.heard) >= 3)
        assert len(source.heard) == 3
        for pod in pods:
            source.inputs.release(pod["metadata"]["uid"])
        await until(lambda: source.inputs._objects.watches == 0)
        assert len(source.inputs._objects) == 0


@pytest.mark.system
def test_what_is_immutable_is_read_once(live: Live) -> None:
    live.run(once(live))


async def once(live: Live) -> None:
    await live.create("configmaps", "never", data={"k": "v"}, immutable=True)
    pods = [await live.pod(**mounted("configMap", "never"), automountServiceAccountToken=False) for _ in range(20)]
    before = live.api.calls.copy()
    async with running(live.api) as source:
        await asyncio.gather(*(source.inputs.collect(pod) for pod in pods))
        source.clock.ahead += WATCH_AFTER + 1
        await until(lambda: not source.inputs._objects._young)
        assert live.api.calls - before == {"get configmaps": 1}


@pytest.mark.system
def test_a_pod_gets_what_there_is_when_it_comes(live: Live) -> None:
    live.run(newest(live))


async def newest(live: Live) -> None:
    """Also while another one uses it already; for many that come together it is not read for each."""
    await live.create("configmaps", "common", data={"k": "0"})
    pods = [await live.pod(**mounted("configMap", "common"), automountServiceAccountToken=False) for _ in range(40)]
    async with running(live.api) as source:
        for number in (1, 2):
            await live.api.patch(live.path("configmaps", "common"), {"data": {"k": str(number)}})
            assert source.inputs._objects.watches == 0
            found = await source.inputs.collect(pods.pop())
            assert found.config_maps[0]["data"] == {"k": str(number)}
        await until(lambda: source.inputs._objects.watches == 1)
        before = live.api.calls.copy()
        await asyncio.gather(*(source.inputs.collect(pod) for pod in pods))
        assert (live.api.calls - before)["get configmaps"] <= 2


@pytest.mark.system
def test_what_is_deleted_stays_for_those_that_have_it(live: Live) -> None:
    live.run(deleted(live))


async def deleted(live: Live) -> None:
    """So that their tokens go on being replaced."""
    await live.create("configmaps", "old", data={"k": "v"})
    has, comes = [await live.pod(**mounted("configMap", "old"), automountServiceAccountToken=False) for _ in range(2)]
    async with running(live.api) as source:
        before = await source.inputs.collect(has)
        source.clock.ahead += WATCH_AFTER
        await until(lambda: source.inputs._objects.watches == 1)
        await live.api.delete(live.path("configmaps", "old"))
        await source.heard.wait(has["metadata"]["uid"])
        assert await source.inputs.collect(has) == before
        assert (await source.missing(comes)).message.endswith('configmap "old" not found')


@pytest.mark.system
def test_without_a_watch_objects_are_read_again(live: Live) -> None:
    live.run(read_again(live))


async def read_again(live: Live) -> None:
    clock, heard = Clock(), Heard()
    objects = Objects(live.api, heard, clock, most=1)
    keys = [Key("configmaps", live.namespace, name) for name in ("polled-a", "polled-b")]
    for key in keys:
        await live.create("configmaps", key.name, data={"k": "1"})
        await objects.get(key, key.name)
    task = asyncio.create_task(objects.run())
    clock.ahead += WATCH_AFTER
    await until(lambda: objects.watches == 1)
    await live.api.patch(live.path("configmaps", "polled-b"), {"data": {"k": "2"}})
    clock.ahead += READ_AGAIN
    await heard.wait("polled-b")
    assert await objects.get(keys[1], "polled-b") == {
        "metadata": {"name": "polled-b", "namespace": live.namespace},
        "data": {"k": "2"},
    }
    objects.release("polled-a")
    await until(lambda: objects.watches == 0)
    clock.ahead += READ_AGAIN
    await until(lambda: objects.watches == 1)
    task.cancel()
    await asyncio.wait([task])
