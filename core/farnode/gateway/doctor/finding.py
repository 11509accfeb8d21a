"""What a check says, and the bound around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from farnode.errors import FarnodeError

T = TypeVar("T")
State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined. `words` say how it is, `advice` what to do where it is not well."""

    name: str
    state: State
    words: str
    advice: str = ""


def ok(name: str, words: str) -> Finding:
    return Finding(name, "ok", words)


def warn(name: str, words: str, advice: str) -> Finding:
    return Finding(name, "warn", words, advice)


def fail(name: str, words: str, advice: str) -> Finding:
    return Finding(name, "fail", words, advice)


async def bounded(name: str, check: Awaitable[list[Finding]], seconds: float) -> list[Finding]:
    """What the check finds; a finding also when it raises or takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await check
    except TimeoutError:
        return [fail(name, f"no answer within {seconds:g} s", "find out what hangs, and run this again")]
    except (FarnodeError, OSError, ValueError) as error:
        return [fail(name, str(error), "correct this, and run it again")]


async def in_thread(work: Callable[[], T]) -> T:
    """For calls that a dead file server can hang for ever: unlike the loop's own threads, this one holds up neither
    whoever gives up waiting nor the end of the program."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: Exception | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # without an error it is a T

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except Exception as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, daemon=True).start()
    return await result
