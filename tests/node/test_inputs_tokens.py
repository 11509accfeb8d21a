"""What a real API server gives of pods' service accounts and trust, and what it gives to a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farnode.model.bundle import parse_bundle
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.objects import WATCH_AFTER
from farnode.node.pods.bundle import bundle
from tests.testbed.kubernetes import ControlPlane

from .live import Json, Live, living
from .source import collected, mounted, running, token, until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def live(plane: ControlPlane) -> Iterator[Live]:
    with living(plane.kubeconfig) as live:
        yield live


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
