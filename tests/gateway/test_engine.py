"""The loop: what is written together, and what watchers are told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway import stimuli as s
from farnode.gateway.engine import CROWD, GATHER, Engine
from farnode.gateway.machine import Machine
from farnode.gateway.state import Rules
from farnode.gateway.store import Batch, Store
from farnode.model.allocation import AllocationRequest
from farnode.model.bundle import Bundle, parse_bundle

NONCE = "n1"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counting(Store):
    """Knows how many transactions it wrote."""

    commits = 0

    def commit(self, batch: Batch) -> None:
        self.commits += 1
        super().commit(batch)


def bundle(number: int) -> Bundle:
    metadata = {"name": f"p{number}", "uid": str(uuid.UUID(int=number))}
    return parse_bundle({"pod": {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}]}}})


@asynccontextmanager
async def running(directory: Path, pods: int) -> AsyncIterator[tuple[Engine, Counting]]:
    """With so many pods at one runner."""
    store = Counting(directory / "farnode.db")
    engine = Engine(Machine(Rules()), store, lambda: 0.0)
    loop = asyncio.create_task(engine.run())
    await engine.ask(
        s.AllocationWanted(0.0, AllocationRequest(NONCE, 64, 0, str(directory)), "local", owner="alice"),
        s.RunnerConnected(0.0, NONCE, "i", "h", None, {}, ()),
        *(s.Submitted(0.0, "alice", bundle(number), "process") for number in range(pods)),
        *(s.Bound(0.0, bundle(number).pod.uid, NONCE) for number in range(pods)),
    )
    store.commits = 0
    try:
        yield engine, store
    finally:
        loop.cancel()
        store.close()


def event(number: int) -> s.RunnerEvents:
    frame: Any = {"seq": number + 1, "uid": bundle(number).pod.uid, "attempt": 1, "at": 1.0, "phase": "Running"}
    return s.RunnerEvents(1.0, NONCE, "i", [frame])


@pytest.mark.anyio
async def test_among_many_pods_events_are_written_together(tmp_path: Path) -> None:
    pods = 2 * CROWD
    clock = asyncio.get_running_loop().time
    async with running(tmp_path, pods) as (engine, store):
        begun = clock()
        for number in range(pods):
            await engine.tell(event(number))
            await asyncio.sleep(GATHER / 5)
        await engine.ask()
        passed = clock() - begun
        assert store.commits <= passed / GATHER + 2
        assert all(pod.status["phase"] == "Running" for pod in engine.machine.pods.values())


@pytest.mark.anyio
async def test_among_few_pods_nothing_waits_for_company(tmp_path: Path) -> None:
    async with running(tmp_path, 5) as (engine, store):
        for number in range(5):
            await engine.ask(event(number))
        assert store.commits == 5


@pytest.mark.anyio
async def test_a_watcher_that_fell_behind_is_told_each_pod_once(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as (engine, _):
        for number in (0, 2):
            await engine.ask(event(number))
        changes = await anext(engine.watch(0, 10.0))
        assert [uid for _, uid, _ in changes[1:]] == [bundle(number).pod.uid for number in (0, 2)]
        assert [seq for seq, _, _ in changes] == sorted({seq for seq, _, _ in changes})
