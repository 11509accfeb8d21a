"""What runners say of their use: asked at once, over real links, and checked at the door."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.errors import Unreachable
from farnode.gateway import stats
from farnode.gateway.records import PodRecord, Stage
from farnode.gateway.runners import Runner, Runners, Secret
from farnode.model.bundle import Bundle, parse_bundle
from farnode.wire.frames import Channel
from farnode.wire.link import Link, Stream

Answer = Callable[[Stream], Awaitable[None]]
CONTAINER = {
    "name": "main",
    "started_at": 5.0,
    "cpu": 1.5,
    "memory": 7,
    "memory_peak": 9,
    "storage": 11,
    "processes": 2,
    "gpus": [{"device": "0", "memory": 1, "memory_total": 2, "utilization": 50}],
}
VIEW = {
    "name": "main",
    "startedAt": 5.0,
    "cpu": 1.5,
    "memory": 7,
    "memoryPeak": 9,
    "storage": 11,
    "processes": 2,
    "gpus": [{"device": "0", "memory": 1, "memoryTotal": 2, "utilization": 50.0}],
}


def bundle(number: int) -> Bundle:
    metadata = {"name": f"p{number}", "uid": str(uuid.UUID(int=number))}
    return parse_bundle({"pod": {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": "b"}]}}})


def record(number: int, nonce: str) -> PodRecord:
    return PodRecord(str(uuid.UUID(int=number)), "alice", 0.0, Stage.BOUND, {}, "process", attempt=1, nonce=nonce)


def pod(number: int, *containers: Any, attempt: int = 1) -> dict[str, Any]:
    return {"uid": str(uuid.UUID(int=number)), "attempt": attempt, "containers": list(containers)}


def says(document: Any) -> Answer:
    async def answer(stream: Stream) -> None:
        await stream.send(Channel.STDOUT, orjson.dumps(document))
        await stream.close()

    return answer


async def refuses(stream: Stream) -> None:
    await stream.close(error="streams of kind 'stats' are unknown to this runner")


async def hangs(stream: Stream) -> None:
    await asyncio.Event().wait()


async def floods(stream: Stream) -> None:
    while True:
        await stream.send(Channel.STDOUT, b"x" * 65536)


@asynccontextmanager
async def connected(**answers: Answer) -> AsyncIterator[Runners]:
    """Runners by nonce, each of whom gives its answer to every stream."""
    runners = Runners(Secret(b"k" * 32), None, lambda _: None, None, lambda: 0.0)  # type: ignore[arg-type]
    tasks: list[asyncio.Task[None]] = []
    links: list[Link] = []

    async def ignored(message: dict[str, Any]) -> None:
        """Nothing comes but streams."""

    def serve(link: Link, answer: Answer) -> Callable[[dict[str, Any]], Awaitable[None]]:
        async def opened(message: dict[str, Any]) -> None:
            assert message["kind"] == "stats"
            tasks.append(asyncio.create_task(quietly(answer(link.accept(message["stream"])))))

        return opened

    for nonce, answer in answers.items():
        here, there = [Link(*await asyncio.open_connection(sock=end)) for end in socket.socketpair()]
        links += [here, there]
        tasks += [asyncio.create_task(here.run(ignored)), asyncio.create_task(there.run(serve(there, answer)))]
        runners.connected[nonce] = Runner(nonce, "i", here)
    yield runners
    for link in links:
        link.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def quietly(answer: Awaitable[None]) -> None:
    try:
        await answer
    except Exception:  # its stream was closed under it
        return


def asked(pods: list[PodRecord], **answers: Answer) -> Any:
    async def run() -> Any:
        async with connected(**answers) as runners:
            bundles = {one.uid: bundle(uuid.UUID(one.uid).int) for one in pods}
            return await stats.ask(pods, bundles, runners)

    return asyncio.run(run())


def test_the_answers_of_all_runners_are_one_view_of_the_pods_asked_for() -> None:
    one = says({"at": 9, "pods": [pod(1, CONTAINER), pod(3, CONTAINER), pod(2, CONTAINER, attempt=2)]})
    two = says({"at": 8.5, "pods": [pod(2)]})
    view = asked([record(1, "a"), record(2, "b")], a=one, b=two)
    assert view["missing"] == []
    assert [(each["name"], each["at"], each["containers"]) for each in view["pods"]] == [
        ("p1", 9.0, [VIEW]),
        ("p2", 8.5, []),
    ]


def test_who_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "TIMEOUT", 0.5)
    monkeypatch.setattr(stats, "LARGEST", 2**20)
    pods = [record(number, nonce) for number, nonce in enumerate(("good", "away", "old", "mute", "loud", "mad"), 1)]
    good = says({"at": 1, "pods": [pod(1, CONTAINER)]})
    view = asked(pods, good=good, old=refuses, mute=hangs, loud=floods, mad=says(["?"]))
    assert view["missing"] == ["away", "old", "mute", "loud", "mad"]
    assert [each["uid"] for each in view["pods"]] == [pods[0].uid]


def test_a_runner_that_is_away_is_no_error_of_the_call() -> None:
    assert asked([record(1, "a")]) == {"pods": [], "missing": ["a"]}
    with pytest.raises(Unreachable):
        asyncio.run(Runners(Secret(b""), None, lambda _: None, None, lambda: 0.0).open("a"))  # type: ignore[arg-type]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(CONTAINER)), ANYTHING)
def test_a_strange_figure_is_left_out(field: str, value: object) -> None:
    answer = {"at": 1.0, "pods": [pod(1, {**CONTAINER, field: value})]}
    wanted = {(str(uuid.UUID(int=1)), 1): record(1, "a")}
    usages = list(stats._usages(answer, wanted, {str(uuid.UUID(int=1)): bundle(1)}))
    assert len(usages) <= 1
    orjson.dumps(usages)
