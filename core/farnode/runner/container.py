"""A container of an attempt through all its runs: restarts, back-off, being stopped, and its v1.ContainerStatus."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

from ..wire.messages import ContainerOrder
from .attempt import Attempt
from .backoff import Backoff
from .capture import LogFile
from .clock import Timer
from .instance import START_ERROR, Instance
from .phase import restarts
from .scratch import safe
from .state import Running, State, Terminated, Waiting, as_json

SIGNALLED = (128 + signal.SIGTERM, 128 + signal.SIGKILL)
SETTLE = 1.0
"""Seconds a container that SIGTERM or SIGKILL ended is not yet called failed: a batch system that ends the allocation
signals all its processes at once, and what it tells the runner may come after what it did to the container."""


class Container:
    def __init__(self, attempt: Attempt, order: ContainerOrder, gpus: Sequence[str], policy: str) -> None:
        self.name = order["name"]
        initialising = bool(attempt.order.get("init_containers"))
        self.state: State = Waiting("PodInitializing" if initialising else "ContainerCreating")
        self.last: Terminated | None = None
        self.logs: list[LogFile] = []
        """Of the run before the latest, if any, and of the latest. Older ones are removed, as the kubelet does."""
        self.instance: Instance | None = None
        """The run that is alive."""
        self.attempt = attempt
        self._order = order
        self._gpus = gpus
        self._policy = policy
        self._restarts = attempt.order.get("restarts", {}).get(self.name, 0)
        self._stopping = False
        self._wake: asyncio.Future[None] | None = None
        self._kill_timer: Timer | None = None
        self._kill_at = 0.0

    async def run(self) -> None:
        """Run until it shall not run again: by its policy, or because it was stopped."""
        backoff = Backoff()
        while not self._stopping:
            ended = await self._run_once()
            if ended.exit_code in SIGNALLED and not self._stopping:
                await self._sleep(SETTLE)
            self.state = ended
            self.attempt.changed()
            if not restarts(self._policy, ended.exit_code):
                return
            await self._back_off(backoff, ended)

    def stop(self, grace: float) -> None:
        """SIGTERM now and SIGKILL `grace` seconds later, or at once for 0. A later call may shorten the grace."""
        first, self._stopping = not self._stopping, True
        self._resume()
        if self.instance is None:
            return
        if first:
            self.attempt.note("Normal", "Killing", f"Stopping container {self.name}")
        if grace <= 0:
            self.instance.kill()
            return
        if first:
            self.instance.terminate()
        at = self.attempt.host.clock.time() + grace
        if self._kill_timer is None or at < self._kill_at:
            self._cancel_timer()
            self._kill_at = at
            self._kill_timer = self.attempt.host.clock.call_later(grace, self.instance.kill)

    def status(self) -> dict[str, Any]:
        image = self._order.get("image", {})
        running = isinstance(self.state, Running)
        number = self._restarts if self.last is None or not isinstance(self.state, Waiting) else self._restarts + 1
        return {
            "name": self.name,
            "image": image.get("reference", ""),
            "imageID": image.get("digest", ""),
            "containerID": self._id(self._restarts) if self.logs else "",
            "ready": running,
            "started": running,
            "restartCount": self._restarts,
            "state": as_json(self.state, self._id(number)),
            "lastState": as_json(self.last, self._id(number - 1)),
        }

    def log_sizes(self) -> dict[str, int]:
        return {os.path.basename(log.path): log.size for log in self.logs}

    def _id(self, restart: int) -> str:
        return f"farnode://{self.attempt.key}/{self.name}/{restart}"

    async def _run_once(self) -> Terminated:
        for log in self.logs[:-1]:
            log.remove()
        self.logs = [*self.logs[-1:], LogFile(f"{self.attempt.logs}.{safe(self.name)}.{self._restarts}.log")]
        try:
            self.instance = Instance(self.attempt, self._order, self._gpus, self.logs[-1])
        except (OSError, ValueError) as error:
            self.logs[-1].end()
            return self._not_started(error)
        self.state = Running(self.instance.started_at)
        self.attempt.note("Normal", "Started", f"Started container {self.name}")
        self.attempt.changed()
        try:
            return await self.instance.finish()
        finally:
            self.instance = None
            self._cancel_timer()

    def _not_started(self, error: OSError | ValueError) -> Terminated:
        now = self.attempt.host.clock.time()
        words = str(error)
        if isinstance(error, OSError) and error.filename:
            words = f"{error.filename}: {error.strerror}"
        self.attempt.note("Warning", "Failed", f"Error: {words}")
        return Terminated(START_ERROR, "StartError", words, now, now)

    async def _back_off(self, backoff: Backoff, ended: Terminated) -> None:
        clock = self.attempt.host.clock
        seconds = backoff.wait(ended.finished_at, clock.time())
        before, self.last = self.last, ended
        if seconds > 0 and not self._stopping:
            await self._pause(seconds, backoff.period)
        if self._stopping:
            self.state, self.last = ended, before
            return
        backoff.restarted(ended.finished_at, clock.time())
        self._restarts += 1

    async def _pause(self, seconds: float, period: float) -> None:
        words = f"restarting failed container={self.name} pod={self.attempt.title}"
        self.state = Waiting("CrashLoopBackOff", f"back-off {_go_duration(period)} {words}")
        self.attempt.note("Warning", "BackOff", f"Back-off {words}")
        self.attempt.changed()
        await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        """Until the time is over or the container is stopped."""
        self._wake = wake = asyncio.get_running_loop().create_future()
        timer = self.attempt.host.clock.call_later(seconds, self._resume)
        await wake
        timer.cancel()

    def _resume(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _cancel_timer(self) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()
            self._kill_timer = None


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
