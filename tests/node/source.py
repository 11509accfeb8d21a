"""An InputSource at work, and what to wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from farnode.node.inputs import InputSource, Missing
from farnode.node.kube.api import KubeApi

from .live import Json

SOON = 30.0


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


def token(audience: str, seconds: int = 3600) -> Json:
    return {"serviceAccountToken": {"audience": audience, "expirationSeconds": seconds, "path": "token"}}
