"""Events, as a real API server has them in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from farnode.model.times import rfc3339
from farnode.node.bucket import Bucket
from farnode.node.events import BURST, OLDEST, WAITING, Events
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.pods.event import document, event_of
from tests.testbed.kubernetes import ControlPlane

from .live import Json, Live, living
from .samples import START, T0, UID, pod

SOON = 30.0


@pytest.fixture(scope="module")
def live(plane: ControlPlane) -> Iterator[Live]:
    with living(plane.kubeconfig) as live:
        yield live


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def test_an_event() -> None:
    told = event_of(pod(), "Warning", "FailedMount", 'configmap "x" not found', T0)
    made = document(told, "farnode")
    assert made["metadata"] == {"name": told.name, "namespace": "default"}
    assert told.name.startswith("hello.")
    assert made["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "hello",
        "namespace": "default",
        "uid": UID,
    }
    assert made["source"] == {"component": "farnode", "host": "farnode-1"}
    assert (made["firstTimestamp"], made["lastTimestamp"], made["count"]) == (START, START, 1)


def test_an_event_of_a_node() -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "farnode-1", "uid": UID}}
    made = document(event_of(node, "Normal", "SiteReachable", "", T0), "farnode")
    assert made["metadata"]["namespace"] == "default"
    assert made["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "farnode-1", "uid": UID}
    assert made["source"]["host"] == "farnode-1"


def test_names_follow_from_what_is_said() -> None:
    one = event_of(pod(), "Normal", "Pulled", "busybox", T0)
    assert event_of(pod(), "Normal", "Pulled", "busybox", T0 + 9).name == one.name
    others = [
        event_of(pod(), "Normal", "Pulled", "alpine", T0),
        event_of(pod(), "Normal", "Pulling", "busybox", T0),
        event_of(pod(metadata={"uid": "another"}), "Normal", "Pulled", "busybox", T0),
    ]
    assert len({one.name, *(other.name for other in others)}) == 4


def test_names_and_messages_are_not_too_long() -> None:
    made = event_of(pod(metadata={"name": "a" * 253}), "Normal", "Pulled", "x" * 5000, T0)
    assert len(made.name) == 253
    assert len(made.message) == 1024


def test_a_bucket() -> None:
    clock = Clock()
    bucket = Bucket(10.0, 2, clock)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    clock.now += 0.15
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now += 3600
    assert [bucket.take() for _ in range(3)] == [True, True, False]


@pytest.fixture
def events(tmp_path: object) -> Events:
    """Told, but not written."""
    return Events(KubeApi(Connection()), "farnode", Clock())


def test_normal_ones_are_dropped_first(events: Events) -> None:
    for number in range(BURST + 5):
        events.tell(pod(), "Normal", "Pulled", str(number), T0)
    assert events.dropped == 5
    events.tell(pod(), "Warning", "Failed", "in words", T0)
    assert events.dropped == 5
    assert sum(map(len, events._waiting.values())) == BURST + 1
    first = events._next()
    assert first is not None
    assert first.kind == "Warning"


def test_what_waits_is_bounded() -> None:
    clock = Clock()
    events = Events(KubeApi(Connection()), "farnode", clock)
    for number in range(WAITING + 10):
        clock.now += 1
        events.tell(pod(), "Warning", "Failed", str(number), clock.now)
    assert len(events._waiting["Warning"]) == WAITING
    assert events.dropped == 10


def test_what_waits_is_counted_together(events: Events) -> None:
    for at in (T0, T0 + 1, T0 + 1, T0 + 2):
        events.tell(pod(), "Warning", "BackOff", "back-off restarting failed container", at)
    event = events._next()
    assert event is not None
    assert (event.count, event.first, event.last) == (3, T0, T0 + 2)
    assert events._next() is None


def test_old_news_is_none(events: Events) -> None:
    events.tell(pod(), "Normal", "Pulled", "busybox", T0 - OLDEST)
    assert events._next() is None
    assert events.dropped == 0


@asynccontextmanager
async def running(api: KubeApi) -> AsyncIterator[Events]:
    events = Events(api, "farnode", time.time)
    task = asyncio.create_task(events.run())
    try:
        yield events
    finally:
        task.cancel()
        await asyncio.wait([task])


async def listed(live: Live, about: Json) -> list[Json]:
    query = {"fieldSelector": f"involvedObject.uid={about['metadata']['uid']}"}
    found: list[Json] = (await live.api.get(live.path("events"), query))["items"]
    return found


async def counted(live: Live, about: Json, *counts: int) -> list[Json]:
    """When the Events of the pod count so."""
    async with asyncio.timeout(SOON):
        while True:
            found = await listed(live, about)
            if sorted(one["count"] for one in found) == sorted(counts):
                return found
            await asyncio.sleep(0.05)


@pytest.mark.system
def test_written_once_and_counted(live: Live) -> None:
    live.run(count(live))


async def count(live: Live) -> None:
    about, now = await live.pod(), float(int(time.time()))
    words = "back-off restarting failed container"
    async with running(live.api) as events:
        events.tell(about, "Warning", "BackOff", words, now - 5)
        events.tell(about, "Normal", "Pulled", "busybox", now - 5)
        await counted(live, about, 1, 1)
        events.tell(about, "Warning", "BackOff", words, now - 5)
        events.tell(about, "Warning", "BackOff", words, now - 3)
        [backoff] = [one for one in await counted(live, about, 1, 2) if one["reason"] == "BackOff"]
        assert backoff["type"] == "Warning"
        assert backoff["reportingComponent"] == "farnode"
        assert backoff["source"]["host"] == live.namespace
        assert (backoff["firstTimestamp"], backoff["lastTimestamp"]) == (rfc3339(now - 5), rfc3339(now - 3))


@pytest.mark.system
def test_told_again_by_the_next_process(live: Live) -> None:
    live.run(again(live))


async def again(live: Live) -> None:
    """It counts only what is newer than what was written."""
    about, now = await live.pod(), float(int(time.time()))
    async with running(live.api) as events:
        events.tell(about, "Warning", "BackOff", "words", now - 5.7)
        await counted(live, about, 1)
    async with running(live.api) as events:
        events.tell(about, "Warning", "BackOff", "words", now - 5.7)
        events.tell(about, "Normal", "Started", "words", now - 5)
        await counted(live, about, 1, 1)
        events.tell(about, "Warning", "BackOff", "words", now - 2)
        await counted(live, about, 1, 2)
        assert events.dropped == 0


@pytest.mark.system
def test_an_event_that_expired_is_written_anew(live: Live) -> None:
    live.run(expired(live))


async def expired(live: Live) -> None:
    about, now = await live.pod(), time.time()
    async with running(live.api) as events:
        events.tell(about, "Warning", "BackOff", "words", now - 5)
        [there] = await counted(live, about, 1)
        await live.api.delete(live.path("events", there["metadata"]["name"]))
        events.tell(about, "Warning", "BackOff", "words", now - 2)
        await counted(live, about, 1)


@pytest.mark.system
def test_a_namespace_that_is_gone(live: Live) -> None:
    live.run(nobody_takes_it(live))


async def nobody_takes_it(live: Live) -> None:
    about = await live.pod()
    lost = {**about, "metadata": {**about["metadata"], "namespace": "nowhere"}}
    async with running(live.api) as events:
        events.tell(lost, "Warning", "Failed", "other words", time.time())
        events.tell(about, "Warning", "Failed", "words", time.time())
        await counted(live, about, 1)
        assert events.dropped == 1
