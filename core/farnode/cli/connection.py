"""A client for the length of one command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from farnode.cli.settings import Settings
from farnode.client.aio import AsyncClient

T = TypeVar("T")

BRIEF = 5.0
"""Seconds a command that only asks keeps trying: somebody waits before the terminal."""
LONG = 600.0
"""Seconds one that waits for pods does: a gateway's restart or move must not end it."""


def call(work: Callable[[AsyncClient], Awaitable[T]], patience: float = BRIEF) -> T:
    """The result of `work`, done with the chosen site's client; errors come out bare, in no exception group."""
    site = Settings.current().chosen()

    async def inside() -> T:
        async with AsyncClient(site, patience=patience) as client:
            return await work(client)

    return run(inside)


def run(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work` in a loop of its own."""
    try:
        return anyio.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
