"""Calls of many that become one: what is asked for while a request is under way goes with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batch(Generic[T, R]):
    """`send` gets at most `most` items and gives an answer for each, in order; its error is every caller's."""

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int) -> None:
        self._send = send
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, item: T) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            now, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                answers = await self._send([item for item, _ in now])
                for (_, future), answer in zip(now, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
            except Exception as error:
                for _, future in now:
                    if not future.done():
                        future.set_exception(error)
        self._sender = None
