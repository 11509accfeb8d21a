"""A container of an attempt through all its runs: restarts, back-off, being stopped, and its v1.ContainerStatus."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Collection, Sequence
from typing import Any

from ...wire.messages import ContainerOrder
from ..output.capture import LogFile
from ..storage.scratch import safe
from ..storage.volumes import Unmountable
from .attempt import Attempt
from .backoff import Backoff
from .instance import START_ERROR, Instance
from .phase import Role, restart_policy, restarts, succeeded
from .run import Run
from .state import Running, State, Terminated, Waiting, as_json

SIGNALLED = (128 + signal.SIGTERM, 128 + signal.SIGKILL)
SETTLE = 1.0
"""Seconds a container that SIGTERM or SIGKILL ended is not yet called failed: a batch system that ends the allocation
signals all its processes at once, and what it tells the runner may come after what it did to the container."""


class Container:
    def __init__(self, attempt: Attempt, order: ContainerOrder, gpus: Sequence[str], role: Role) -> None:
        self.name = order["name"]
        self.role = role
        self.last: Terminated | None = None
        self.logs: list[LogFile] = []
        """Of the run before the latest, if any, and of the latest. Older ones are removed, as the kubelet does."""
        self.attempt = attempt
        self.begun = asyncio.Event()
        """Set when its first start is over, postStart hook and all, whatever came of it."""
        self.started = asyncio.Event()
        """Set when it first counted as started, or never will."""
        self._order = order
        self._gpus = gpus
        self._policy = restart_policy(order, attempt.order.get("restart_policy", "Always"))
        self._restarts = attempt.order.get("restarts", {}).get(self.name, 0)
        self._last_restart = self._restarts
        self._run: Run | None = None
        self._unhealthy = False
        """A probe ended the run."""
        self._expected = False
        """The runner asked the run to end."""
        self._stopping = False
        self._wake: asyncio.Future[None] | None = None
        self.state: State = self._waiting

    @property
    def instance(self) -> Instance | None:
        """The run that is alive."""
        return self._run.instance if self._run is not None else None

    @property
    def over(self) -> asyncio.Future[None] | None:
        """Done when the run that is alive has ended; None when none is."""
        return self._run.over if self._run is not None else None

    async def run(self) -> None:
        """Run until it shall not run again: by its policy, or because it was stopped."""
        backoff = Backoff()
        try:
            while not self._stopping:
                ended = await self._run_once()
                if ended.exit_code in SIGNALLED and not self._expected:
                    await self._sleep(SETTLE)
                self.state = ended
                self.attempt.changed()
                if not self._runs_again(ended):
                    return
                await self._back_off(backoff, ended)
        finally:
            self.begun.set()
            self.started.set()

    def stop(self, grace: float, least: float, after: Collection[asyncio.Future[None]] = ()) -> None:
        """End it for good, as `Run.end` does."""
        self._stopping = True
        self._resume()
        if self._run is not None:
            self._run.end(grace, least, after=after)

    def status(self) -> dict[str, Any]:
        image = self._order.get("image", {})
        started = self._run is not None and self._run.started
        ready = succeeded(self.state) if self.role is Role.INIT else self._run is not None and self._run.ready
        return {
            "name": self.name,
            "image": image.get("reference", ""),
            "imageID": image.get("digest", ""),
            "containerID": self._id(self._restarts) if self.logs else "",
            "ready": ready,
            "started": started,
            "restartCount": self._restarts,
            "state": as_json(self.state, self._id(self._restarts)),
            "lastState": as_json(self.last, self._id(self._last_restart)),
        }

    def log_sizes(self) -> dict[str, int]:
        return {name: size for log in self.logs for name, size in log.sizes().items()}

    def _id(self, restart: int) -> str:
        return f"farnode://{self.attempt.key}/{self.name}/{restart}"

    @property
    def _waiting(self) -> Waiting:
        return Waiting("PodInitializing" if self.attempt.order.get("init_containers") else "ContainerCreating")

    async def _run_once(self) -> Terminated:
        self._unhealthy = self._expected = False
        if self._order.get("post_start"):
            self.state = self._waiting
        try:
            self._next_log()
            self._run = Run(self.attempt, self._order, self._gpus, self.logs[-1], self._changed, self._failed_probe)
        except (OSError, ValueError) as error:
            for log in self.logs[-1:]:
                log.end()
            return self._not_started(error)
        self.attempt.note("Normal", "Created", f"Created container {self.name}")
        try:
            return await self._run.finish()
        finally:
            self._expected = self._run.asked_to_end
            self._run = None
            self.begun.set()

    def _next_log(self) -> None:
        for log in self.logs[:-1]:
            log.remove()
        path = f"{self.attempt.logs}.{safe(self.name)}.{self._restarts}.log"
        self.logs = [*self.logs[-1:], LogFile(path, self.attempt.order.get("limits", {}))]

    def _not_started(self, error: OSError | ValueError) -> Terminated:
        now = self.attempt.host.clock.time()
        words = str(error)
        if isinstance(error, OSError) and error.filename:
            words = f"{error.filename}: {error.strerror}"
        self.attempt.note("Warning", "Failed", f"Error: {words}")
        reason = error.reason if isinstance(error, Unmountable) else "StartError"
        return Terminated(START_ERROR, reason, words, now, now)

    def _changed(self) -> None:
        """Of the run that is alive: it runs, or is something that it was not."""
        assert self._run is not None
        self.state = Running(self._run.instance.started_at)
        self.begun.set()
        if self._run.started:
            self.started.set()
        self.attempt.changed()

    def _failed_probe(self, kind: str) -> str:
        """A run that is ended for that is followed by another whatever its exit code, unless there is never one."""
        self._unhealthy = True
        if self.role is Role.SIDECAR:
            return f"Init container {self.name} failed {kind} probe"
        again = "" if self._policy == "Never" else ", will be restarted"
        return f"Container {self.name} failed {kind} probe{again}"

    def _runs_again(self, ended: Terminated) -> bool:
        if self.role is Role.INIT and ended.exit_code == 0:
            return False
        if self._unhealthy and self._policy != "Never":
            return True
        return restarts(self._policy, ended.exit_code, self._order.get("restart_rules", ()))

    async def _back_off(self, backoff: Backoff, ended: Terminated) -> None:
        clock = self.attempt.host.clock
        seconds = backoff.wait(ended.finished_at, clock.time())
        before = self.last, self._last_restart
        self.last, self._last_restart = ended, self._restarts
        if seconds > 0 and not self._stopping:
            await self._pause(seconds, backoff.period)
        if self._stopping:
            self.state = ended
            self.last, self._last_restart = before
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


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
