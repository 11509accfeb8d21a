"""How runners come and go, over real links."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway import stimuli as s
from farnode.gateway.records import AllocationRecord
from farnode.gateway.runners import Intervals, Runners, Secret
from farnode.gateway.tls import ensure_certificate, server_context
from farnode.model.allocation import AllocationRequest
from farnode.wire.link import Link

NONCE, NOW = "n1", 1000.0
RECORD = AllocationRecord(AllocationRequest(NONCE, 1, 0, "/spool/n1"), "local", 0.0)
SECRET = Secret(b"k" * 32)
HELLO: dict[str, Any] = {
    "type": "hello",
    "protocols": [1],
    "nonce": NONCE,
    "incarnation": "i",
    "token": SECRET.token(NONCE),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Site:
    """What a gateway hears of its runners."""

    runners: Runners
    port: int = 0
    told: asyncio.Queue[s.Stimulus] = field(default_factory=asyncio.Queue)
    missed: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def hears(self) -> s.Stimulus:
        async with asyncio.timeout(10):
            return await self.told.get()


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    told: asyncio.Queue[s.Stimulus] = asyncio.Queue()
    runners = Runners(SECRET, Intervals(30.0, 60.0), {NONCE: RECORD}.get, told.put, lambda: NOW)
    found = Site(runners, told=told)
    runners.gone = found.missed.put_nowait
    certificate = ensure_certificate(directory, ["localhost"])
    found.port = await runners.listen("127.0.0.1", 0, server_context(certificate))
    try:
        yield found
    finally:
        await runners.close()


@asynccontextmanager
async def runner(at: Site, **fields: Any) -> AsyncIterator[Link]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    link = Link(*await asyncio.open_connection("127.0.0.1", at.port, ssl=context))
    await link.send({**HELLO, **fields})
    try:
        yield link
    finally:
        link.close()


@pytest.mark.anyio
async def test_what_a_runner_found_is_told(tmp_path: Path) -> None:
    """Its clock is 50 s ahead."""
    found = {"runtimes": {"apptainer": "1.4"}, "capacity": {"gpus": ["0"]}, "time": NOW + 50, "ends_at": NOW + 650}
    async with site(tmp_path) as gateway, runner(gateway, **found):
        connected = await gateway.hears()
    assert isinstance(connected, s.RunnerConnected)
    expected = {"gpus": ["0"], "runtimes": {"apptainer": "1.4"}, "address": "", "ends_at": NOW + 600}
    assert connected.capacity == expected


@pytest.mark.anyio
async def test_a_runner_that_says_nothing_of_its_end_is_told_without(tmp_path: Path) -> None:
    async with site(tmp_path) as gateway, runner(gateway, ends_at=None):
        connected = await gateway.hears()
    assert isinstance(connected, s.RunnerConnected)
    assert connected.capacity == {"gpus": [], "runtimes": {}, "address": ""}


@pytest.mark.anyio
async def test_a_runner_that_says_goodbye_is_missed_once_that_was_told(tmp_path: Path) -> None:
    """The batch system is then asked, where a pod was cut short: for nothing else."""
    async with site(tmp_path) as gateway:
        async with runner(gateway) as link:
            await gateway.hears()
            await link.send({"type": "bye"})
            async with asyncio.timeout(10):
                assert await gateway.missed.get() == NONCE
            assert gateway.told.get_nowait() == s.RunnerLeft(NOW, NONCE, "i")
            assert NONCE not in gateway.runners.connected
        await gateway.runners.close()
        assert gateway.missed.empty()


@pytest.mark.anyio
async def test_a_runner_whose_link_is_lost_is_missed(tmp_path: Path) -> None:
    async with site(tmp_path) as gateway:
        async with runner(gateway):
            await gateway.hears()
        async with asyncio.timeout(10):
            assert await gateway.missed.get() == NONCE
        assert gateway.told.empty()
