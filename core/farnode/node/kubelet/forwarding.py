"""Connections to ports of a pod, for the ways in which clients ask for them.

A port that cannot be reached, and a gateway that is lost, are told on the error stream of the connection; kubectl ends
with those words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import anyio

from farnode.client.forwarding import PortStream
from farnode.errors import FarnodeError
from farnode.node.kubelet.pods import Target

AT_ONCE = 256
"""Connections of one client; more wait until one ends."""
_PREFIX = "error forwarding port"


class Near(Protocol):
    """The client's end of one connection. Its methods raise ConnectionError when the client has let go of it."""

    async def receive(self) -> bytes:
        """b"" when the client sends no more."""

    async def send(self, payload: bytes) -> None: ...

    async def end(self) -> None:
        """Nothing more comes."""


class Ports:
    """The ports of a pod."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def join(self, port: int, near: Near, told: Callable[[str], Awaitable[None]]) -> None:
        """Both directions of one connection until both have ended; `told` is given what went wrong, in words."""
        try:
            async with self._turns, await self._target.client.forward(self._target.uid, port) as far:
                await _both(near, far)
        except* FarnodeError as errors:
            await told(self._words(port, str(_first(errors))))
        except* anyio.BrokenResourceError:
            await told(self._words(port, "the connection was lost"))
        except* (ConnectionError, anyio.ClosedResourceError):
            pass  # the client has let go of it

    def _words(self, port: int, problem: str) -> str:
        """As the kubelet has them (k8s.io/kubelet, pkg/cri/streaming/portforward); the runner knows them, too."""
        if _PREFIX in problem:
            return problem[problem.index(_PREFIX) :]
        name = self._target.pod["metadata"]["name"]
        return f"{_PREFIX} {port} to pod {name}, uid {self._target.uid}: {problem}"


async def _both(near: Near, far: PortStream) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_up(near, far))
        tasks.create_task(_down(near, far))


async def _up(near: Near, far: PortStream) -> None:
    """What the pod does not take any more is dropped; whether that is a failure, the other direction knows."""
    taken = True
    while payload := await near.receive():
        with suppress(anyio.BrokenResourceError):
            if taken:
                taken = False
                await far.send(payload)
                taken = True
    with suppress(anyio.BrokenResourceError):
        await far.send_eof()


async def _down(near: Near, far: PortStream) -> None:
    async for payload in far:
        await near.send(payload)
    await near.end()


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
