"""How long a call keeps trying while the gateway is away. Every call of the API may be repeated: pods have UIDs."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from farnode.errors import Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """`total` seconds from the first failure to giving up; pauses grow from `first` to `most` seconds, half of each
    at random so that a thousand clients do not return in step."""

    total: float = 120.0
    first: float = 0.1
    most: float = 5.0

    async def keep_trying(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's answer; its last Transient when patience is spent. Every other error at once."""
        trial = Trial(self)
        while True:
            try:
                return await call()
            except Transient as error:
                await trial.pause(error)


class Trial:
    """One run of failures: `pause` after each, `succeeded` when the other side was heard of again."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None
        self._delay = patience.first

    def succeeded(self) -> None:
        self._since = None
        self._delay = self._patience.first

    async def pause(self, error: Transient) -> None:
        """Sleeps before the next try, at least as long as the server asks for; raises `error` when that is too late."""
        now = anyio.current_time()
        self._since = now if self._since is None else self._since
        delay = max(error.retry_after or 0.0, self._delay * (0.5 + random.random() / 2))  # noqa: S311 - not a secret
        if now + delay > self._since + self._patience.total:
            raise error
        await anyio.sleep(delay)
        self._delay = min(self._delay * 2, self._patience.most)
