"""reflect: against a real API server, through its restarts; and against one that misbehaves as old or sick ones do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from aiohttp import web

from farnode.errors import Transient
from farnode.node.kube import transport, watch
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.kube.failures import Conflict, Json
from farnode.node.kube.watch import Change, Listed, Put, reflect
from tests.node.scripted import served
from tests.testbed.kubernetes import ControlPlane

pytestmark = pytest.mark.anyio
MAPS = "/api/v1/namespaces/default/configmaps"
PATIENCE = 60.0
"""Seconds; a busy machine."""


@pytest.fixture
async def api(plane: ControlPlane) -> AsyncIterator[KubeApi]:
    async with KubeApi(Connection(plane.kubeconfig)) as api:
        yield api


def config(name: str, label: str, **data: str) -> Json:
    return {"metadata": {"name": name, "labels": {"test": label}}, "data": data}


def name(thing: Json) -> str:
    return str(thing["metadata"]["name"])


def told(change: Change) -> tuple[str, Any]:
    if isinstance(change, Listed):
        return "listed", [name(thing) for thing in change.objects]
    return type(change).__name__.lower(), name(change.object)


async def until(changes: AsyncGenerator[Change, None], wanted: Callable[[Change], bool]) -> Change:
    async with asyncio.timeout(PATIENCE):
        async for change in changes:
            if wanted(change):
                return change
    raise AssertionError("the reflection ended")


async def created(api: KubeApi, body: Json) -> None:
    """However often it takes; a try that seemed to fail may have made it."""
    with suppress(Conflict):
        await api.keep_trying(lambda: api.create(MAPS, body))


# ---- a real API server -----------------------------------------------------------------------------------------------


@pytest.mark.system
async def test_what_is_there_then_each_change(api: KubeApi) -> None:
    await api.create(MAPS, config("there", "each"))
    async with aclosing(reflect(api, MAPS, {"labelSelector": "test=each"})) as changes:
        first = await anext(changes)
        assert told(first) == ("listed", ["there"])
        assert isinstance(first, Listed)
        assert (first.objects[0]["kind"], first.objects[0]["apiVersion"]) == ("ConfigMap", "v1")
        await api.create(MAPS, config("new", "each"))
        await api.create(MAPS, config("another", "other"))
        await api.patch(f"{MAPS}/there", {"data": {"k": "v"}})
        await api.patch(f"{MAPS}/new", {"metadata": {"labels": {"test": "left"}}})
        await api.delete(f"{MAPS}/there")
        seen = [told(await anext(changes)) for _ in range(4)]
    assert seen == [("put", "new"), ("put", "there"), ("gone", "new"), ("gone", "there")]
    for left in ("new", "another"):
        await api.delete(f"{MAPS}/{left}")


@pytest.mark.system
async def test_lists_come_in_pages_and_again(api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_PAGE", "2")
    names = [f"page-{number}" for number in range(5)]
    for one in names:
        await api.create(MAPS, config(one, "pages"))
    async with aclosing(reflect(api, MAPS, {"labelSelector": "test=pages"}, relist=1.0)) as changes:
        for _ in range(2):
            assert told(await until(changes, lambda change: isinstance(change, Listed))) == ("listed", names)
    assert api.calls["list configmaps"] == 6
    for one in names:
        await api.delete(f"{MAPS}/{one}")


@pytest.mark.system
async def test_large_objects_arrive_whole(api: KubeApi) -> None:
    async with aclosing(reflect(api, MAPS, {"labelSelector": "test=large"})) as changes:
        await anext(changes)
        await api.create(MAPS, config("large", "large", text="x" * 1_000_000))
        found = await until(changes, lambda change: isinstance(change, Put))
        assert isinstance(found, Put)
        assert len(found.object["data"]["text"]) == 1_000_000
    await api.delete(f"{MAPS}/large")


@pytest.mark.system
async def test_the_api_server_is_killed_and_comes_back(api: KubeApi, plane: ControlPlane) -> None:
    await api.create(MAPS, config("before", "killed"))
    async with aclosing(reflect(api, MAPS, {"labelSelector": "test=killed"})) as changes:
        await anext(changes)
        pending = asyncio.ensure_future(until(changes, lambda change: told(change) == ("put", "after")))
        await asyncio.to_thread(plane.kill, "kube-apiserver")
        with pytest.raises(Transient):
            await api.get("/version")
        await asyncio.to_thread(plane.start, "kube-apiserver")
        await created(api, config("after", "killed"))
        await pending
    for left in ("before", "after"):
        await api.delete(f"{MAPS}/{left}")


@pytest.mark.system
async def test_etcd_is_killed_and_comes_back(api: KubeApi, plane: ControlPlane) -> None:
    async with aclosing(reflect(api, MAPS, {"labelSelector": "test=etcd"})) as changes:
        await anext(changes)
        pending = asyncio.ensure_future(until(changes, lambda change: "etcd" in told(change)[1]))
        await asyncio.to_thread(plane.kill, "etcd")
        await asyncio.to_thread(plane.start, "etcd")
        await created(api, config("etcd", "etcd"))
        await pending
    await api.delete(f"{MAPS}/etcd")


@pytest.mark.system
async def test_what_is_forbidden_is_tried_until_it_is_not(plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps"
    async with KubeApi(Connection(plane.identity("stranger"))) as api, aclosing(reflect(api, path)) as changes:
        pending = asyncio.ensure_future(until(changes, lambda change: isinstance(change, Listed)))
        async with asyncio.timeout(PATIENCE):
            while not api.calls["list configmaps"]:
                await asyncio.sleep(0.01)
        grant = ("create", "rolebinding", "stranger", "--clusterrole=view", "--user=stranger", "-n=kube-system")
        await asyncio.to_thread(plane.kubectl, *grant)
        await pending
    assert api.calls["list configmaps"] > 1


# ---- one that misbehaves ---------------------------------------------------------------------------------------------


class Sick:
    """Lists one object whose version counts the lists; each watch is answered by the next of `watches`."""

    def __init__(self, *watches: Callable[[web.StreamResponse], Any]) -> None:
        self.lists: list[dict[str, str]] = []
        self.watched: list[dict[str, str]] = []
        self._watches = list(watches)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if "watch" not in query:
            self.lists.append(query)
            metadata = {"name": "a", "resourceVersion": str(len(self.lists))}
            items = [{"metadata": metadata}]
            return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items})
        self.watched.append(query)
        response = web.StreamResponse()
        await response.prepare(request)
        if self._watches:
            await self._watches.pop(0)(response)
        else:
            await asyncio.sleep(PATIENCE)
        return response


def line(kind: str, version: str, **fields: Any) -> bytes:
    thing = {"kind": "Pod", "metadata": {"name": f"v{version}", "resourceVersion": version}, **fields}
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def error(code: int, message: str) -> bytes:
    status = {"kind": "Status", "code": code, "message": message}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


@pytest.mark.parametrize(
    ("code", "message"), [(410, "too old resource version"), (500, "Too large resource version: 9, current: 3")]
)
async def test_a_version_that_is_of_no_use_means_another_list(code: int, message: str) -> None:
    async def refuse(response: web.StreamResponse) -> None:
        await response.write(error(code, message))

    sick = Sick(refuse)
    async with served(sick.answer) as api, aclosing(reflect(api, "/api/v1/pods")) as changes:
        assert [told(await anext(changes))[0] for _ in range(2)] == ["listed", "listed"]
        pending = asyncio.ensure_future(anext(changes))
        while len(sick.watched) < 2:
            await asyncio.sleep(0.01)
        pending.cancel()
        await asyncio.wait([pending])
    assert [one["resourceVersion"] for one in sick.watched] == ["1", "2"]
    assert all("resourceVersion" not in one for one in sick.lists)


async def test_other_errors_cost_no_list() -> None:
    async def busy(response: web.StreamResponse) -> None:
        await response.write(line("ADDED", "7") + error(429, "slow down"))

    async def well(response: web.StreamResponse) -> None:
        await response.write(line("MODIFIED", "8"))

    sick = Sick(busy, well)
    async with served(sick.answer) as api, aclosing(reflect(api, "/api/v1/pods")) as changes:
        seen = [told(await anext(changes)) for _ in range(3)]
    assert seen == [("listed", ["a"]), ("put", "v7"), ("put", "v8")]
    assert [one["resourceVersion"] for one in sick.watched] == ["1", "7"]
    assert len(sick.lists) == 1


async def test_after_a_bookmark_the_watch_goes_on_from_there() -> None:
    async def bookmark(response: web.StreamResponse) -> None:
        await response.write(line("BOOKMARK", "50"))

    async def deleted(response: web.StreamResponse) -> None:
        await response.write(line("DELETED", "51"))

    sick = Sick(bookmark, deleted)
    async with served(sick.answer) as api, aclosing(reflect(api, "/api/v1/pods")) as changes:
        assert [told(await anext(changes)) for _ in range(2)] == [("listed", ["a"]), ("gone", "v51")]
    assert [one["resourceVersion"] for one in sick.watched] == ["1", "50"]
    assert sick.watched[0]["allowWatchBookmarks"] == "true"


async def test_a_line_may_come_in_many_pieces() -> None:
    async def drip(response: web.StreamResponse) -> None:
        for byte in line("ADDED", "2") + line("ADDED", "3"):
            await response.write(bytes([byte]))

    async with served(Sick(drip).answer) as api, aclosing(reflect(api, "/api/v1/pods")) as changes:
        assert [told(await anext(changes))[1] for _ in range(3)] == [["a"], "v2", "v3"]


async def test_silence_after_bookmarks_ends_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_BOOKMARKS", 0.1)

    async def fall_silent(response: web.StreamResponse) -> None:
        await response.write(line("BOOKMARK", "5"))
        await asyncio.sleep(PATIENCE)

    async def speak(response: web.StreamResponse) -> None:
        await response.write(line("ADDED", "6"))

    sick = Sick(fall_silent, speak)
    async with served(sick.answer) as api, aclosing(reflect(api, "/api/v1/pods")) as changes:
        async with asyncio.timeout(PATIENCE / 2):
            assert [told(await anext(changes))[1] for _ in range(2)] == [["a"], "v6"]


async def test_a_line_without_end_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport, "_LINE", 100_000)

    async def babble(response: web.StreamResponse) -> None:
        for _ in range(100):
            await response.write(b"x" * 10_000)

    async def speak(response: web.StreamResponse) -> None:
        await response.write(line("ADDED", "6"))

    async with served(Sick(babble, speak).answer) as api, aclosing(reflect(api, "/api/v1/pods")) as changes:
        assert [told(await anext(changes))[1] for _ in range(2)] == [["a"], "v6"]
    assert "a line of more than 100000 bytes" in caplog.text


async def test_watches_that_end_at_once_are_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    original = asyncio.sleep

    async def sleep(seconds: float) -> None:
        paused.append(seconds)
        await original(0)

    monkeypatch.setattr("anyio.sleep", sleep)

    async def end(response: web.StreamResponse) -> None:
        return

    async def speak(response: web.StreamResponse) -> None:
        await response.write(line("ADDED", "6"))

    async with served(Sick(*[end] * 5, speak).answer) as api, aclosing(reflect(api, "/api/v1/pods")) as changes:
        assert [told(await anext(changes))[1] for _ in range(2)] == [["a"], "v6"]
    assert len(paused) == 5
    assert paused[-1] > paused[0]


async def test_a_reflection_that_is_closed_leaves_no_connection() -> None:
    ended = asyncio.Event()

    async def wait(response: web.StreamResponse) -> None:
        try:
            while True:
                await response.write(line("BOOKMARK", "5"))
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            ended.set()
            raise

    async with served(Sick(wait).answer) as api:
        async with aclosing(reflect(api, "/api/v1/pods")) as changes:
            await anext(changes)
            pending = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.05)
            pending.cancel()
            await asyncio.wait([pending])
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_the_kernel_notices_a_connection_that_is_none() -> None:
    with transport._socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
