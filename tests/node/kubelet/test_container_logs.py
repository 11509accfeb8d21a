"""Logs, with every option of v1.PodLogOptions, and the kubelet's words for what has none."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from farnode.node.kubelet.logs import unavailable
from tests.client.live import program
from tests.node.kubelet.serving import PATIENCE, Serving, until
from tests.sites import EmbeddedSite

pytestmark = pytest.mark.anyio


async def text(kubelet: Serving, name: str, query: str = "") -> str:
    async with kubelet.http.get(f"/containerLogs/default/{name}/main{query}") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        return await answer.text()


async def test_options(kubelet: Serving) -> None:
    await kubelet.ended(program("counts", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done"))
    whole = "".join(f"line {number}\n" for number in range(1, 6))
    assert await text(kubelet, "counts") == whole
    assert await text(kubelet, "counts", "?follow=true") == whole
    assert await text(kubelet, "counts", "?tailLines=2") == "line 4\nline 5\n"
    assert await text(kubelet, "counts", "?tailLines=0") == ""
    assert await text(kubelet, "counts", "?limitBytes=8") == "line 1\nl"
    assert await text(kubelet, "counts", "?sinceSeconds=3600&follow=false") == whole
    assert await text(kubelet, "counts", f"?sinceTime={quote('2999-01-01T00:00:00Z')}") == ""
    first = (await text(kubelet, "counts", "?timestamps=true&tailLines=1")).split(" ", 1)
    assert (first[0][4], first[0][-1], first[1]) == ("-", "Z", "line 5\n")


async def test_a_log_is_followed_while_it_is_written(kubelet: Serving) -> None:
    pod = await kubelet.running(program("shell", "sh", stdin=True))
    async with kubelet.http.get("/containerLogs/default/shell/main?follow=true") as answer:
        async with await kubelet.client.attach(pod["metadata"]["uid"], "main", stdin=True) as session:
            for word in (b"one\n", b"two\n"):
                await session.send(b"echo " + word)
                assert await answer.content.readany() == word
            await session.send(b"exit\n")
        assert await answer.content.read() == b""


async def test_the_reader_sets_the_pace(kubelet: Serving) -> None:
    """What nobody reads stays at the site."""
    size = 64 * 2**20
    await kubelet.ended(program("big", "sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x"))
    async with kubelet.http.get("/containerLogs/default/big/main?follow=true") as answer:
        assert len(kubelet.server.streams) == 1
        await asyncio.sleep(1.0)
        assert answer.content.total_bytes < size / 4
        found = 0
        async for chunk in answer.content.iter_any():
            found += len(chunk)
    assert found >= size


async def test_a_reader_that_leaves_ends_it(kubelet: Serving) -> None:
    await kubelet.running(program("silent", "sleep", "1000"))
    async with kubelet.http.get("/containerLogs/default/silent/main?follow=true") as answer:
        assert answer.status == 200  # though nothing was written yet
        assert len(kubelet.server.streams) == 1
        answer.close()
    await until(lambda: _is_idle(kubelet), "the stream ends")


async def _is_idle(kubelet: Serving) -> bool:
    return not kubelet.server.streams


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("none/main", 404, 'pod "none" does not exist'),
        ("done/side", 404, 'container "side" not found in pod "done"'),
        ("done/main?tailLines=-1", 400, "tailLines: is '-1'; accepted: whole numbers from 0"),
        ("done/main?limitBytes=0", 400, "limitBytes: is '0'; accepted: whole numbers from 1"),
        ("done/main?sinceSeconds=x", 400, "sinceSeconds: is 'x'; accepted: whole numbers from 1"),
        ("done/main?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 400, "at most one of `sinceTime` or"),
        ("done/main?sinceTime=yesterday", 400, "sinceTime"),
        ("done/main?stream=Stderr", 400, "stream: is 'Stderr'; accepted: All"),
        ("done/main?previous=true", 400, 'previous terminated container "main" in pod "done" not found'),
        ("waits/main", 400, 'container "main" in pod "waits" is waiting to start: PodInitializing'),
    ],
)
async def test_refusals(kubelet: Serving, path: str, status: int, words: str) -> None:
    await kubelet.ended(program("done", "true"))
    waits = program("waits", "true")
    waits["spec"]["initContainers"] = [{**program("init", "sleep", "1000")["spec"]["containers"][0], "name": "init"}]
    document = await kubelet.submit(waits)

    async def initializes() -> bool:
        await kubelet.phase(document)
        return any("running" in one["state"] for one in document["status"].get("initContainerStatuses", ()))

    await until(initializes, "its init container runs")
    async with kubelet.http.get(f"/containerLogs/default/{path}") as answer:
        assert (answer.status, words in await answer.text()) == (status, True), await answer.text()


async def test_a_pod_the_site_does_not_know(kubelet: Serving) -> None:
    document = await kubelet.ended(program("done", "true"))
    unknown = {**document, "metadata": {**document["metadata"], "name": "new", "uid": "unknown"}, "status": {}}
    kubelet.shelf.pods["unknown"] = unknown
    async with kubelet.http.get("/containerLogs/default/new/main") as answer:
        assert (answer.status, await answer.text()) == (400, 'container "main" in pod "new" is not available')
    waiting = {"name": "main", "state": {"waiting": {"reason": "ContainerCreating"}}}
    unknown["status"] = {"containerStatuses": [waiting]}
    async with kubelet.http.get("/containerLogs/default/new/main") as answer:
        words = 'container "main" in pod "new" is waiting to start: ContainerCreating'
        assert (answer.status, await answer.text()) == (400, words)
    del kubelet.shelf.pods["unknown"]


@pytest.mark.parametrize(
    ("state", "last", "previous", "words"),
    [
        ({"running": {}}, {}, False, None),
        ({"running": {}}, {}, True, 'previous terminated container "c" in pod "p" not found'),
        ({"running": {}}, {"terminated": {"containerID": "x://1"}}, True, None),
        ({"terminated": {"containerID": "x://1"}}, {}, False, None),
        ({"terminated": {}}, {}, False, 'container "c" in pod "p" is terminated'),
        ({"terminated": {}}, {"terminated": {"containerID": "x://1"}}, False, None),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {"containerID": "x://1"}}, False, None),
        ({"waiting": {"reason": "ErrImagePull"}}, {}, False, "is waiting to start: image can't be pulled"),
        ({"waiting": {"reason": "ImagePullBackOff"}}, {}, False, "waiting to start: trying and failing to pull image"),
        ({"waiting": {"reason": "Seldom"}}, {}, False, "is waiting to start: Seldom"),
        ({}, {}, False, "is waiting to start - no logs yet"),
    ],
)
def test_the_words_of_the_kubelet(state: Any, last: Any, previous: bool, words: str | None) -> None:
    status = {"initContainerStatuses": [{"name": "c", "state": state, "lastState": last}]}
    found = unavailable(status, "p", "c", previous)
    assert found == words if words is None else found is not None and found.endswith(words)


async def test_a_log_cut_short_does_not_end_in_order(kubelet: Serving, embedded_site: EmbeddedSite) -> None:
    await kubelet.ended(program("big", "sh", "-c", "head -c 64000000 /dev/zero | tr '\\0' x"))
    async with kubelet.http.get("/containerLogs/default/big/main") as answer:
        await answer.content.readany()
        embedded_site.kill()
        try:
            with pytest.raises(aiohttp.ClientPayloadError):
                async with asyncio.timeout(PATIENCE):
                    await answer.content.read()
            async with kubelet.http.get("/containerLogs/default/big/main") as refused:
                assert refused.status == 503
                assert "cannot reach" in await refused.text()
        finally:
            embedded_site.start()
