"""One attempt of a pod, from its order to its end.

A pod ends once and says so last: its `ended` event follows when no process of it lives and its logs are complete.
Whatever goes wrong in it is its own failure, in words; it never leaves this module as an exception.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Callable, NamedTuple

from ..wire.messages import ContainerOrder, EventFrame, Note, PodOrder
from . import phase, volumes
from .attempt import Attempt, Host
from .clock import Timer
from .container import Container
from .runtime import Runtime
from .scratch import AttemptDirectories, safe

DEFAULT_GRACE = 30.0
"""Seconds; Kubernetes' terminationGracePeriodSeconds where the order says nothing."""

logger = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """Why the pod as a whole failed, whatever its containers say."""

    reason: str
    message: str


class Pod:
    def __init__(self, order: PodOrder, host: Host, gpus: Sequence[str], announce: Callable[[Pod], None]) -> None:
        """`announce(pod)` is called whenever `event()` would tell something new."""
        self.order = order
        self.ended = False
        self.inits: list[Container] = []
        self.containers: list[Container] = []
        self.gpus = gpus
        self._host = host
        self._announce = announce
        self._policy = order.get("restart_policy", "Always")
        self._verdict: Verdict | None = None
        self._stopping = False
        self._grace = order.get("grace", DEFAULT_GRACE)
        self._notes: list[Note] = []
        self._started_at = host.clock.time()
        self._directories: AttemptDirectories | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.order["uid"], self.order["attempt"]

    async def run(self) -> None:
        """Returns when its containers will not run again and none of them lives; `end` is the caller's to say."""
        deadline = self._arm_deadline()
        try:
            if self._verdict is None and not self._stopping:
                self._prepare()
                await self._run_containers()
        except (OSError, ValueError) as error:
            self.fail("CreateContainerConfigError", str(error))
        except Exception as error:
            self._broken(error)
        finally:
            if deadline is not None:
                deadline.cancel()

    def end(self) -> None:
        """`run` has returned and no process of it lives: say so, last."""
        self.ended = True
        self._announce(self)

    def fail(self, reason: str, message: str) -> None:
        """The first reason stays."""
        self._verdict = self._verdict or Verdict(reason, message)

    def stop(self, grace: float | None, reason: str, message: str) -> None:
        """End it, gracefully; a later call may shorten the grace. With a reason the pod is Failed for it."""
        if self.ended:
            return
        self._stopping = True
        if reason:
            self.fail(reason, message)
        for container in self.inits + self.containers:
            container.stop(self._grace if grace is None else grace)

    def stop_within(self, seconds: float, reason: str, message: str) -> None:
        """End it within its own grace, or so many seconds where that is less."""
        self.stop(min(self._grace, seconds), reason, message)

    async def remove(self) -> None:
        """Remove what it left on the node; its logs on the spool stay."""
        if self._directories is not None:
            await self._directories.remove()

    def container(self, name: str) -> Container | None:
        return next((one for one in self.inits + self.containers if one.name == name), None)

    def event(self) -> EventFrame:
        """Its state now, whole; `notes` are those since the last call. The journal adds `seq`.

        `started_at` is missing as long as nothing of it was started: an attempt that ends so did nothing at all.
        """
        notes, self._notes = self._notes, []
        event: EventFrame = {
            "uid": self.order["uid"],
            "attempt": self.order["attempt"],
            "at": self._host.clock.time(),
            "phase": self._phase(),
            "reason": self._verdict.reason if self._verdict else "",
            "message": self._verdict.message if self._verdict else "",
            "host_ip": self._host.address,
            "pod_ip": self._host.address,
            "gpus": list(self.gpus),
            "init_containers": [container.status() for container in self.inits],
            "containers": [container.status() for container in self.containers],
            "notes": notes,
            "ended": self.ended,
        }
        if self._directories is not None:
            event["started_at"] = self._started_at
        if self.ended:
            event["logs"] = {
                path: size for one in self.inits + self.containers for path, size in one.log_sizes().items()
            }
        return event

    def _phase(self) -> str:
        if self.ended:
            return "Failed" if self._verdict else phase.phase_ended([one.state for one in self.containers])
        pairs = [(one.state, one.last) for one in self.containers]
        return phase.phase_alive([one.state for one in self.inits], pairs)

    def _arm_deadline(self) -> Timer | None:
        deadline = self.order.get("deadline")
        return None if deadline is None else self._host.clock.call_later(deadline, self._expire)

    def _expire(self) -> None:
        self.stop(None, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")

    def _prepare(self) -> None:
        order = self.order
        logs = f"{self._host.spool}/pods/{safe(order['uid'])}"
        os.makedirs(logs, 0o700, exist_ok=True)
        self._directories = AttemptDirectories(self._host.scratch, order["uid"], order["attempt"])
        attempt = Attempt(
            order=order,
            host=self._host,
            runtime=self._runtime(),
            directories=self._directories,
            volumes=volumes.make(order.get("volumes", ()), self._directories),
            logs=f"{logs}/{int(order['attempt'])}",
            note=self._note,
            changed=lambda: self._announce(self),
        )
        init_policy = phase.init_policy(self._policy)
        self.inits = [
            Container(attempt, one, self.gpus[: one.get("gpus", 0)], init_policy)
            for one in order.get("init_containers", ())
        ]
        free = list(self.gpus)
        for one in order["containers"]:
            count = one.get("gpus", 0)
            self.containers.append(Container(attempt, one, free[:count], self._policy))
            del free[:count]

    def _runtime(self) -> Runtime:
        name = self.order.get("runtime", "")
        runtime = self._host.runtimes.get(name)
        if runtime is None:
            known = ", ".join(sorted(self._host.runtimes)) or "none"
            raise ValueError(f"no runtime {name!r} on {self._host.name}; what works there: {known}")
        refusal = runtime.check(self.order)
        if refusal:
            raise ValueError(refusal)
        return runtime

    async def _run_containers(self) -> None:
        for init in self.inits:
            await self._guarded(init)
            if self._stopping or not phase.succeeded(init.state):
                return
        if self._stopping:
            return
        *others, last = self.containers
        tasks = [asyncio.ensure_future(self._guarded(container)) for container in others]
        await self._guarded(last)  # in this task: the end of a lone container and of its pod are then one event
        await asyncio.gather(*tasks)

    async def _guarded(self, container: Container) -> None:
        """A fault of ours in one container ends the others in order: none may outlive its pod."""
        try:
            await container.run()
        except Exception as error:
            self._broken(error)
            self.stop(0, "", "")

    def _broken(self, error: Exception) -> None:
        logger.error("pod %s, attempt %s", *self.key, exc_info=error)
        self.fail("RunnerError", f"the runner failed at this pod: {error!r}")

    def _note(self, kind: str, reason: str, message: str) -> None:
        self._notes.append({"at": self._host.clock.time(), "kind": kind, "reason": reason, "message": message})


def gpus_needed(order: PodOrder) -> int:
    """Init containers run before the others and reuse their devices."""

    def count(containers: Sequence[ContainerOrder]) -> list[int]:
        return [container.get("gpus", 0) for container in containers]

    together = sum(count(order.get("containers", ())))
    return max([order.get("gpus", 0), together, *count(order.get("init_containers", ()))])
