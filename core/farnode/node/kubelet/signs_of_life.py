"""Pings to clients of streams: one that left while it was not being read is found by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

INTERVAL = 15.0
"""Seconds. Answers do not matter: to a client that is gone nothing can be sent for long."""


@asynccontextmanager
async def pinging(ping: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """While it is entered."""
    task = asyncio.create_task(_repeat(ping))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _repeat(ping: Callable[[], Awaitable[None]]) -> None:
    with suppress(ConnectionError):
        while True:
            await asyncio.sleep(INTERVAL)
            await ping()
