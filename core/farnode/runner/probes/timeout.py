"""Waiting by the runner's own clock: for a time to pass, and no longer than a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..clock import Clock, Timer

T = TypeVar("T")


async def sleep(clock: Clock, seconds: float) -> None:
    over, timer = _alarm(clock, seconds)
    try:
        await over
    finally:
        timer.cancel()


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; raises asyncio.TimeoutError when it takes longer, and cancels it, which may hang for all
    that: on a file server that does not answer."""
    working = asyncio.ensure_future(work)
    over, timer = _alarm(clock, seconds)
    waited: set[asyncio.Future[Any]] = {working, over}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise asyncio.TimeoutError
        return working.result()
    finally:
        timer.cancel()
        working.cancel()


def _alarm(clock: Clock, seconds: float) -> tuple[asyncio.Future[None], Timer]:
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return over, clock.call_later(seconds, lambda: None if over.done() else over.set_result(None))


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel those that are not done and wait until they are."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)
