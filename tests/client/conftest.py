from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from farnode import AsyncClient
from farnode.client.patience import Patience
from tests.client.fake import Gateway, running
from tests.sites.fixtures import box_site, embedded_site

__all__ = ["box_site", "embedded_site"]

QUICK = Patience(total=10, first=0.001, most=0.01)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(gateway.site(), patience=QUICK) as client:
        yield client
