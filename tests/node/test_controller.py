"""What a worker does about one pod: against an API server and a gateway that a test makes behave as healthy ones rarely
do."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from aiohttp import web

from farnode.client.aio import AsyncClient
from farnode.client.patience import Patience
from farnode.client.site import Site
from farnode.client.watching import Listing
from farnode.errors import Denied, Transient
from farnode.gateway.port import Caller
from farnode.model.api import EventView, PodView, SiteView, Verdict
from farnode.node import controller as module
from farnode.node import reconcile
from farnode.node.controller import Controller
from farnode.node.events import Events
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.kube.watch import Gone, Listed, Put
from farnode.node.presence.keeper import Endpoint, Presence
from farnode.node.presence.settings import NodeSettings
from farnode.node.site import SiteLink
from tests.client.fake import Gateway
from tests.client.fake import running as serving
from tests.node import samples
from tests.node.live import Live, living
from tests.node.scripted import served
from tests.node.test_reconcile import view_of
from tests.testbed.kubernetes import ControlPlane

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
NODE = "far"
UID = samples.UID
DELETED: Json = {"deletionTimestamp": samples.END, "deletionGracePeriodSeconds": 30}


class ApiServer:
    """Pods by name. `drops`: what it does not know of a container's status; `undecipherable`: Secrets cannot be read.
    As to a node's own identity, `get` of a pod is denied where there is none."""

    def __init__(self) -> None:
        self.pods: dict[str, Json] = {}
        self.version = 200
        self.drops: frozenset[str] = frozenset()
        self.undecipherable = False
        self.asked: list[str] = []

    def add(self, pod: Json) -> Json:
        return copy.deepcopy(self._stored(pod))

    def _stored(self, pod: Json) -> Json:
        self.version += 1
        pod["metadata"]["resourceVersion"] = str(self.version)
        self.pods[pod["metadata"]["name"]] = pod
        return pod

    async def answer(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        resource, name = parts[4], parts[5] if len(parts) > 5 else ""
        self.asked.append(f"{request.method} {resource}")
        if resource == "secrets":
            return _failure(500, "unable to transform key") if self.undecipherable else _failure(404, "no such Secret")
        if resource == "events":
            return web.json_response({}, status=201)
        if request.method == "GET":
            return self._read(name, request.query.get("fieldSelector", ""))
        pod = self.pods.get(name)
        if pod is None:
            return _failure(404, f'pods "{name}" not found')
        body = await request.json()
        if pod["metadata"]["uid"] != body.get("preconditions", body.get("metadata", {})).get("uid"):
            return _failure(409, "another uid")
        return web.json_response(self._delete(pod) if request.method == "DELETE" else self._patch(pod, body))

    def _read(self, name: str, selector: str) -> web.Response:
        if name:
            return web.json_response(self.pods[name]) if name in self.pods else _failure(403, "no relationship found")
        wanted = dict(part.split("=") for part in selector.split(","))
        assert wanted["spec.nodeName"] == NODE, "a node may list its own pods alone"
        found = [pod for pod in self.pods.values() if pod["metadata"]["name"] == wanted["metadata.name"]]
        return web.json_response({"kind": "PodList", "metadata": {}, "items": found})

    def _delete(self, pod: Json) -> Json:
        if pod["metadata"].get("finalizers"):
            pod["metadata"] |= {"deletionTimestamp": samples.END, "deletionGracePeriodSeconds": 0}
            return self._stored(pod)
        return self.pods.pop(pod["metadata"]["name"])

    def _patch(self, pod: Json, body: Json) -> Json:
        status = {key: value for key, value in body.get("status", {}).items() if value is not None}
        for one in status.get("containerStatuses", ()):
            for key in self.drops & one.keys():
                del one[key]
        known = {one["type"]: one for one in pod["status"].get("conditions", ())}
        known |= {one["type"]: one for one in status.pop("conditions", ())}
        pod["status"] |= status | {"conditions": list(known.values())}
        return self._stored(pod)


def _failure(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message, "code": code}, status=code)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with TemporaryDirectory() as directory, serving(Path(directory)) as gateway:
        yield gateway


@asynccontextmanager
async def running(gateway: Gateway, server: ApiServer) -> AsyncIterator[Controller]:
    """One that has heard both lists, which are empty."""
    patience = Patience(total=0.2, first=0.01, most=0.01)
    async with served(server.answer) as api, AsyncClient(gateway.site(), patience=patience) as client:
        controller = _controller(api, client)
        controller._saw_pod(Listed([]))
        controller.mirror.list_views([], time.time())
        yield controller


def _controller(api: KubeApi, client: AsyncClient, node: str = NODE) -> Controller:
    presence = Presence(api, NodeSettings(node), Endpoint("127.0.0.1", 1), time.time)
    return Controller(api, SiteLink(client), presence, Events(api, "farnode", time.time), node, 600)


def pod(**metadata: Any) -> Json:
    return samples.pod(metadata=metadata, nodeName=NODE, volumes=[], restartPolicy="Never")


def see(controller: Controller, phase: str, attempt: int = 1, **more: Any) -> None:
    """The site tells of the pod."""
    view = {**view_of(pod(), phase, attempt), "node": NODE, **more}
    controller._saw_view(EventView(seq=1, type="pod", uid=UID, pod=cast("PodView", view)))


async def test_a_pod_that_was_removed_by_force_is_ended_by_a_node_that_may_not_get_it(gateway: Gateway) -> None:
    server = ApiServer()
    async with running(gateway, server) as controller:
        see(controller, "Running")
        await controller._attend(UID)
        assert UID not in controller.mirror.entries
    assert gateway.do(lambda site: site.deletions) == [{"uid": UID, "purge": True, "graceSeconds": 0}]


async def test_a_pod_is_asked_for_once_when_the_api_server_was_set_back(gateway: Gateway) -> None:
    server = ApiServer()
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(pod(resourceVersion="9000")))
        controller._saw_pod(Listed([]))
        see(controller, "Running")
        server.add(pod())
        async with asyncio.timeout(10):
            await controller._attend(UID)
        assert server.asked.count("GET pods") == 1
        assert controller.mirror.find("default", "hello") is not None


async def test_two_changes_of_inputs_that_follow_each_other_both_arrive(gateway: Gateway) -> None:
    server = ApiServer()
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(pod())))
        await controller._attend(UID)
        see(controller, "Running")
        for _ in range(2):
            controller._inputs_changed(UID)
            await controller._attend(UID)
    assert gateway.do(lambda site: site.inputs[UID]["version"]) == 2


async def test_what_the_gateway_fails_at_says_nothing_against_the_pod(gateway: Gateway) -> None:
    async def broken(caller: Caller, bundles: Sequence[Any]) -> list[Verdict]:
        raise RuntimeError("a defect")

    server = ApiServer()
    gateway.do(lambda site: setattr(site, "submit", broken))
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(pod())))
        await controller._attend(UID)
        held = controller.mirror.entries[UID].held
        assert held is not None
        assert not held.refused
    assert server.pods["hello"]["status"]["phase"] == "Pending"


async def test_a_pod_is_told_why_it_waits_while_the_gateway_does_not_let_the_node_in(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def denied(caller: Caller, bundles: Sequence[Any]) -> list[Verdict]:
        raise Denied("this token was revoked")

    monkeypatch.setattr(reconcile, "SETTLE", 0.0)
    monkeypatch.setattr(reconcile, "WORDS_EVERY", 0.0)
    server = ApiServer()
    gateway.do(lambda site: setattr(site, "submit", denied))
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(pod())))
        await controller._attend(UID)
    (container,) = server.pods["hello"]["status"]["containerStatuses"]
    assert container["state"]["waiting"] == {"reason": "ContainerCreating", "message": "this token was revoked"}


async def test_a_pod_whose_offer_was_not_answered_is_removed_when_it_has_ended_there(gateway: Gateway) -> None:
    def stored(verdict: Verdict) -> Verdict:
        raise Transient("the answer is lost", retry_after=60)

    server = ApiServer()
    inner = gateway.do(lambda site: site._submit)
    gateway.do(lambda site: setattr(site, "_submit", lambda caller, pod: stored(inner(caller, pod))))
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(pod())))
        await controller._attend(UID)
        controller._saw_pod(Put(server.add(pod(**DELETED))))
        await controller._attend(UID)
        assert "hello" in server.pods, "it was removed while it ran"
        see(controller, "Failed", ended=True)
        await controller._attend(UID)
    assert server.pods == {}
    assert gateway.do(lambda site: site.deletions[0]) == {"uid": UID, "graceSeconds": 30, "purge": False}


async def test_a_pod_is_deleted_also_where_the_api_server_does_not_know_all_of_its_status(gateway: Gateway) -> None:
    server = ApiServer()
    server.drops = frozenset(("imageID", "resources", "started", "image"))
    async with running(gateway, server) as controller:
        document = pod(**DELETED)
        document["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
        controller._saw_pod(Put(server.add(document)))
        see(controller, "Succeeded", ended=True)
        async with asyncio.timeout(10):
            await controller._attend(UID)
    assert server.pods == {}
    assert server.asked.count("PATCH pods") <= 2


async def test_a_pod_with_finalizers_is_deleted_once_and_stays_known(gateway: Gateway) -> None:
    server = ApiServer()
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(pod(finalizers=["batch.kubernetes.io/job-tracking"], **DELETED))))
        see(controller, "Succeeded", ended=True)
        for _ in range(3):
            await controller._attend(UID)
        assert server.asked.count("DELETE pods") == 1
        assert controller.mirror.find("default", "hello") is not None
        controller._saw_pod(Gone(server.pods.pop("hello")))
        await controller._attend(UID)
    assert gateway.do(lambda site: site.deletions) == [{"uid": UID, "purge": True}]


async def test_a_pod_whose_secret_cannot_be_read_can_be_deleted(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COLLECTING", 0.1)
    server = ApiServer()
    server.undecipherable = True
    document = pod()
    document["spec"]["volumes"] = [{"name": "s", "secret": {"secretName": "sealed"}}]
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(document)))
        async with asyncio.timeout(10):
            await controller._attend(UID)
        controller._saw_pod(Put(server.add({**document, "metadata": {**document["metadata"], **DELETED}})))
        await controller._attend(UID)
    assert server.pods == {}


async def test_a_refused_pod_holds_nothing_that_it_referred_to(gateway: Gateway) -> None:
    server = ApiServer()
    document = pod(labels={"refuse": "yes"})
    document["spec"]["imagePullSecrets"] = [{"name": "registry"}]
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(document)))
        await controller._attend(UID)
        assert len(controller._inputs._objects) == 0
    assert server.pods["hello"]["status"]["phase"] == "Failed"


def _set_back(gateway: Gateway, view: PodView) -> None:
    gateway.do(lambda site: site.views.update({UID: view}))


async def test_a_gateway_that_was_set_back_is_told_again_what_is_to_end(gateway: Gateway) -> None:
    server = ApiServer()
    async with running(gateway, server) as controller:
        controller._saw_pod(Put(server.add(pod(**DELETED))))
        for _ in range(2):
            view = {**view_of(pod(), "Running", 1), "node": NODE}
            _set_back(gateway, cast("PodView", view))
            controller._saw_view(Listing([cast("PodView", view)], 1))
            await controller._attend(UID)
    assert gateway.do(lambda site: [one["uid"] for one in site.deletions]) == [UID, UID]


async def test_news_does_not_wait_behind_pods_of_which_there_is_none(gateway: Gateway) -> None:
    server = ApiServer()
    async with running(gateway, server) as controller:
        pods = [pod(uid=f"u{number}", name=f"p{number}", resourceVersion=str(number + 1)) for number in range(100)]
        controller._saw_pod(Listed(copy.deepcopy(pods)))
        for _ in pods:
            controller._queue.done(await controller._queue.take())
        pods[7]["metadata"]["resourceVersion"] = "500"
        controller._saw_pod(Listed(pods))
        assert controller.waiting == 1
        assert len(controller._queue._timers) == 99


async def test_an_answer_that_took_long_says_nothing_of_clocks(gateway: Gateway) -> None:
    async with running(gateway, ApiServer()) as controller:
        controller._site_is(SiteView(time=time.time() - 3600), "")
        assert controller._terms.skew == 3600
        controller._site_is(SiteView(), "")
        assert controller._terms.skew == 3600


@pytest.mark.system
def test_a_nodes_own_identity_hears_that_a_pod_is_gone(plane: ControlPlane) -> None:
    with living(plane.kubeconfig) as live:
        live.run(_own_identity(live, plane))


async def _own_identity(live: Live, plane: ControlPlane) -> None:
    there = await live.pod()
    metadata = there["metadata"]
    where = metadata["uid"], live.namespace, metadata["name"]
    identity = plane.identity(f"system:node:{live.namespace}", ["system:nodes"])
    async with KubeApi(Connection(identity)) as api:
        controller = _controller(api, AsyncClient(Site("nowhere", "unix:/nowhere")), live.namespace)
        found = await controller._objects.present(*where)
        assert found is not None
        assert (found["kind"], found["metadata"]["uid"]) == ("Pod", metadata["uid"])
        await live.api.delete(live.path("pods", metadata["name"]), grace=0)
        assert await controller._objects.present(*where) is None
