"""The order in which the containers of a pod start and end.

Source: Kubernetes, "Init Containers", "Sidecar Containers" and "Pod Lifecycle" (Termination of Pods), and the kubelet's
terminationOrdering: init containers start in order, each when the one before has ended well or, if that is a sidecar,
has started; then the others, each when the one before has begun (its postStart hook is done). When all of these have
ended for good, or the pod is to end, sidecars end in reverse order, all in one grace period.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Callable

from .container import Container
from .phase import Role, succeeded
from .run import MINIMUM


class Containers:
    def __init__(
        self, inits: Sequence[Container], regular: Sequence[Container], run: Callable[[Container], Awaitable[None]]
    ) -> None:
        """`run` is what runs one, to its end for good; it raises nothing."""
        self.done = False
        """Those that keep the pod alive have ended for good."""
        self._inits = inits
        self._regular = regular
        self._run = run
        self._stopping = False
        self._sidecars: list[asyncio.Future[None]] = []

    async def run(self, grace: float) -> None:
        """Returns when none of them lives or will run again; `grace` is for sidecars that nobody needs any more."""
        if await self._initialised():
            await self._run_regular()
        self.done = True
        if self._sidecars:
            self._stop_inits(grace, MINIMUM)
            await asyncio.wait(self._sidecars)

    def stop(self, grace: float, least: float) -> None:
        """End them all; a later call may shorten the grace."""
        self._stopping = True
        for container in self._regular:
            container.stop(grace, least)
        self._stop_inits(grace, least)

    async def _initialised(self) -> bool:
        for init in self._inits:
            if self._stopping:
                break
            if init.role is Role.SIDECAR:
                self._sidecars.append(asyncio.ensure_future(self._run(init)))
                await init.started.wait()
                continue
            await self._run(init)
            if not succeeded(init.state):
                return False
        return not self._stopping

    async def _run_regular(self) -> None:
        *others, last = self._regular
        tasks = []
        for container in others:
            tasks.append(asyncio.ensure_future(self._run(container)))
            await container.begun.wait()
        await self._run(last)  # in this task: the end of a lone container and of its pod are then one event
        await asyncio.gather(*tasks)

    def _stop_inits(self, grace: float, least: float) -> None:
        """A sidecar's signal comes after the ends of the regular containers and of later sidecars."""
        after = [container.over for container in self._regular if container.over is not None]
        for init in reversed(self._inits):
            init.stop(grace, least, after if init.role is Role.SIDECAR else ())
            if init.role is Role.SIDECAR and init.over is not None:
                after = [*after, init.over]
