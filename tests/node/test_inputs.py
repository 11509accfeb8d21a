"""What pods refer to, from a real API server."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farnode.model.bundle import parse_bundle
from farnode.node.alarms import Alarms
from farnode.node.inputs import InputSource, Missing
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.objects import READ_AGAIN, WATCH_AFTER, Key, Objects
from farnode.node.pods.bundle import bundle
from tests.testbed.kubernetes import ControlPlane

from .live import Json, Live, living

SOON = 30.0


@pytest.fixture(scope="module")
def live(plane: ControlPlane) -> Iterator[Live]:
    with living(plane.kubeconfig) as live:
        yield live


class Clock:
    """The real one, with leaps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Heard(list[str]):
    """The uids whose inputs changed."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def __call__(self, uid: str) -> None:
        self.append(uid)
        self._news.set()

    async def wait(self, uid: str) -> None:
        """Until it is told of this one, which it then forgets."""
        async with asyncio.timeout(SOON):
            while uid not in self:
                self._news.clear()
                await self._news.wait()
        self.clear()


class Source:
    """An InputSource that runs."""

    def __init__(self, api: KubeApi) -> None:
        self.clock = Clock()
        self.heard = Heard()
        self.inputs = InputSource(api, self.heard, self.clock)

    async def missing(self, pod: Json) -> Missing:
        with pytest.raises(Missing) as missing:
            await self.inputs.collect(pod)
        return missing.value


@asynccontextmanager
async def running(api: KubeApi) -> AsyncIterator[Source]:
    source = Source(api)
    task = asyncio.create_task(source.inputs.run())
    try:
        yield source
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():
            await asyncio.sleep(0.02)


def mounted(kind: str, name: str, **fields: Any) -> Json:
    source = {"secretName": name} if kind == "secret" else {"name": name}
    return {"volumes": [{"name": "v", kind: {**source, **fields}}]}


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


def token(audience: str, seconds: int = 3600) -> Json:
    return {"serviceAccountToken": {"audience": audience, "expirationSeconds": seconds, "path": "token"}}


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


async def collected(source: Source, pod: Json, missing: str) -> None:
    """Until what it misses are these words; it hears each time that something may be different."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                await source.inputs.collect(pod)
            except Missing as found:
                if found.message == missing:
                    return
            else:
                assert not missing
                return
            await source.heard.wait(pod["metadata"]["uid"])


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


@pytest.mark.system
def test_tokens(live: Live) -> None:
    live.run(tokens(live))


async def tokens(live: Live) -> None:
    await live.create("serviceaccounts", "worker")
    sources = [token(""), token("vault", 7200)]
    sources[1]["serviceAccountToken"]["path"] = "other"
    volume = {"name": "v", "projected": {"sources": sources}}
    pod = await live.pod(serviceAccountName="worker", volumes=[volume])
    async with running(live.api) as source:
        found = {one["audience"]: one for one in (await source.inputs.collect(pod)).tokens}
        assert found.keys() == {"", "vault"}
        assert found["vault"]["expirationSeconds"] == 7200
        review = await reviewed(live, found[""]["token"])
        assert review["authenticated"]
        assert review["user"]["username"] == f"system:serviceaccount:{live.namespace}:worker"
        assert review["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
        source.clock.ahead += 2000
        assert {one["audience"]: one for one in (await source.inputs.collect(pod)).tokens} == found
        source.clock.ahead += 900
        await source.heard.wait(pod["metadata"]["uid"])
        again = {one["audience"]: one for one in (await source.inputs.collect(pod)).tokens}
        assert again[""]["token"] != found[""]["token"]
        assert again["vault"] == found["vault"]
        source.inputs.release(pod["metadata"]["uid"])
        assert not source.inputs._tokens._held


async def reviewed(live: Live, text: str) -> Json:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": text}}
    answer = await live.api.create("/apis/authentication.k8s.io/v1/tokenreviews", body)
    status: Json = answer["status"]
    return status


@pytest.mark.system
def test_a_token_that_is_refused(live: Live) -> None:
    live.run(refused(live))


async def refused(live: Live) -> None:
    await live.create("serviceaccounts", "gone")
    pod = await live.pod(serviceAccountName="gone", volumes=[{"name": "v", "projected": {"sources": [token("")]}}])
    await live.api.delete(live.path("serviceaccounts", "gone"))
    async with running(live.api) as source:
        missing = await source.missing(pod)
        assert missing.reason == "FailedMount"
        assert 'failed to fetch token: serviceaccounts "gone" not found' in missing.message
        await source.heard.wait(pod["metadata"]["uid"])


@pytest.mark.system
def test_as_a_node(live: Live, plane: ControlPlane) -> None:
    """The Node authorizer gives a node what its pods refer to, each object by its name, and nothing else."""
    live.run(as_node(live, plane.identity(f"system:node:{live.namespace}", ["system:nodes"])))


async def as_node(live: Live, kubeconfig: Path) -> None:
    await live.create("configmaps", "node-settings", data={"k": "1"})
    await live.create("configmaps", "node-other", data={"k": "1"})
    pod = await live.pod(**mounted("configMap", "node-settings"))
    other = {**pod, "spec": {**pod["spec"], **mounted("configMap", "node-other")}}
    async with KubeApi(Connection(kubeconfig)) as api, running(api) as source:
        await collected(source, pod, "")
        source.clock.ahead += WATCH_AFTER
        await until(lambda: source.inputs._objects.watches == 2)
        await live.api.patch(live.path("configmaps", "node-settings"), {"data": {"k": "2"}})
        await source.heard.wait(pod["metadata"]["uid"])
        missing = await source.missing({**other, "metadata": {**pod["metadata"], "uid": "another"}})
        assert "no relationship found between node" in missing.message


TRUST = {"ClusterTrustBundle": True, "ClusterTrustBundleProjection": True}


@pytest.mark.system
def test_trust_bundles() -> None:
    options = ["--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true"]
    with ControlPlane(TRUST, options=options) as plane, living(plane.kubeconfig) as live:
        live.run(trust_bundles(live, (plane.directory / "ca.crt").read_text()))


async def trust_bundles(live: Live, pem: str) -> None:
    named = await live.pod(**trusting(name="roots"))
    signed = await live.pod(**trusting(signerName="example.com/ca", labelSelector={}))
    async with running(live.api) as source:
        missing = await source.missing(named)
        assert missing.message == 'MountVolume.SetUp failed for volume "v" : clustertrustbundle "roots" not found'
        missing = await source.missing(signed)
        assert missing.message.endswith('clustertrustbundles of signer "example.com/ca" not found')
        await source.inputs.collect(await live.pod(**trusting(name="roots", optional=True)))
        await trust(live, "roots", trustBundle=pem)
        await trust(live, "example.com:ca:one", signerName="example.com/ca", trustBundle=pem)
        for pod, name in ((named, "roots"), (signed, "example.com:ca:one")):
            await collected(source, pod, "")
            read = parse_bundle(bundle(pod, await source.inputs.collect(pod)))
            assert list(read.inputs.trust_bundles) == [name]


def trusting(**fields: Any) -> Json:
    source = {"clusterTrustBundle": {"path": "roots.pem", **fields}}
    return {"volumes": [{"name": "v", "projected": {"sources": [source]}}]}


async def trust(live: Live, name: str, **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": spec}
    await live.api.create("/apis/certificates.k8s.io/v1beta1/clustertrustbundles", body)
