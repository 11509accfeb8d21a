"""Single calls to a real API server, and what becomes of them where a proxy or an overloaded one answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from farnode.errors import Denied, Invalid, NotFound, Transient, Unreachable
from farnode.node.kube import transport
from farnode.node.kube.api import KubeApi, Patch
from farnode.node.kube.connection import Connection
from farnode.node.kube.failures import Conflict, Json
from tests.node.scripted import script, served
from tests.testbed.kubernetes import ControlPlane

pytestmark = pytest.mark.anyio
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def api(plane: ControlPlane) -> AsyncIterator[KubeApi]:
    async with KubeApi(Connection(plane.kubeconfig)) as api:
        yield api


def config(name: str, **data: str) -> Json:
    return {"metadata": {"name": name}, "data": data}


@pytest.mark.system
async def test_the_life_of_an_object(api: KubeApi) -> None:
    made = await api.create(MAPS, config("life", a="1"))
    path, uid = f"{MAPS}/life", made["metadata"]["uid"]
    with pytest.raises(Conflict) as taken:
        await api.create(MAPS, config("life"))
    assert taken.value.reason == "AlreadyExists"
    patched = await api.patch(path, {"data": {"b": "2"}})
    assert patched["data"] == {"a": "1", "b": "2"}
    merged = await api.patch(path, {"data": {"a": None}}, Patch.MERGE)
    assert merged["data"] == {"b": "2"}
    listed = await api.patch(path, [{"op": "add", "path": "/data/c", "value": "3"}], Patch.JSON)
    assert listed["data"] == {"b": "2", "c": "3"}
    with pytest.raises(Conflict) as stale:
        await api.replace(path, made)
    assert stale.value.reason == "Conflict"
    with pytest.raises(Conflict, match="UID"):
        await api.delete(path, uid="another")
    await api.delete(path, uid=uid, grace=0)
    with pytest.raises(NotFound):
        await api.get(path)
    assert api.calls == {
        "create configmaps": 2,
        "patch configmaps": 3,
        "update configmaps": 1,
        "delete configmaps": 2,
        "get configmaps": 1,
    }


@pytest.mark.system
async def test_a_refusal_names_the_field(api: KubeApi) -> None:
    with pytest.raises(Invalid, match="RFC 1123") as caught:
        await api.create(MAPS, config("Not_A_Name"))
    assert caught.value.field == "metadata.name"


@pytest.mark.system
async def test_subresources_and_lists_are_counted_by_their_names(api: KubeApi) -> None:
    await api.get("/api/v1/pods", {"limit": "1"})
    await api.get("/api/v1/namespaces/default")
    with pytest.raises(NotFound):
        await api.patch("/api/v1/namespaces/default/pods/none/status", {"status": {}})
    assert api.calls == {"list pods": 1, "get namespaces": 1, "patch pods/status": 1}


@pytest.mark.system
async def test_many_calls_at_once(api: KubeApi) -> None:
    names = [f"many-{number}" for number in range(200)]
    made = await asyncio.gather(*(api.create(MAPS, config(name)) for name in names))
    assert sorted(one["metadata"]["name"] for one in made) == sorted(names)
    await asyncio.gather(*(api.delete(f"{MAPS}/{name}") for name in names))


async def test_an_overloaded_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr("anyio.sleep", sleep)
    busy = {"message": "too many requests"}
    answers = [
        web.json_response(busy, status=429, headers={"Retry-After": "9"}),
        web.json_response({"message": "starting"}, status=503),
        web.json_response({"fine": True}),
    ]
    async with script(answers) as api:
        assert await api.keep_trying(lambda: api.get("/api/v1/pods")) == {"fine": True}
    assert paused[0] == 9
    assert 0 < paused[1] < 1
    assert api.calls == {"list pods": 3}


async def test_what_will_not_get_better_is_not_repeated() -> None:
    async with script([web.json_response({"message": "no such thing"}, status=404)]) as api:
        with pytest.raises(NotFound, match="no such thing"):
            await api.keep_trying(lambda: api.get("/api/v1/pods/x"))


@pytest.mark.parametrize("text", ["<html>", "[1]", ""])
async def test_an_answer_that_is_no_object(text: str) -> None:
    async with script([web.Response(text=text)]) as api:
        with pytest.raises(Transient, match="the API server answered"):
            await api.get("/api/v1/pods")


async def test_nobody_answers_then_one_that_does_not_know_its_roles_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            assert request.transport
            request.transport.abort()
        return web.json_response({"message": "forbidden"}, status=403)

    async with served(answer) as api:
        with pytest.raises(Unreachable, match="the API server cannot be reached: "):
            await api.delete("/api/v1/pods")
        with pytest.raises(Transient, match="forbidden"):
            await api.get("/api/v1/pods")
        monkeypatch.setattr(transport, "_RESTART", 0)
        with pytest.raises(Denied, match="forbidden"):
            await api.get("/api/v1/pods")


async def test_a_lease_does_not_wait_behind_other_calls() -> None:
    held, free = 0, asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal held
        if "leases" not in request.path:
            held += 1
            await free.wait()
        return web.json_response({"path": request.path})

    async with served(answer) as api:
        others = [asyncio.ensure_future(api.get("/api/v1/pods")) for _ in range(300)]
        while held < 64:
            await asyncio.sleep(0.01)
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n"
        assert (await asyncio.wait_for(api.patch(path, {}), 30))["path"] == path
        assert held == 64
        free.set()
        assert len(await asyncio.gather(*others)) == 300


async def test_no_server_at_all() -> None:
    async with script([]) as api:
        pass
    async with api:
        with pytest.raises(Unreachable, match=r"cannot be reached: 127\.0\.0\.1:\d+: "):
            await api.get("/api/v1/pods")
