"""One attempt of a pod, from its order to its end.

A pod ends once and says so last: its `ended` event follows when no process of it lives and its logs are complete.
Whatever goes wrong in it is its own failure, in words; it never leaves this module as an exception.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Callable, NamedTuple

from ...wire.messages import EventFrame, Held, Inputs, PodOrder
from ..clock import Timer
from ..runtime import Runtime
from ..storage.scratch import AttemptDirectories, safe
from ..storage.volumes import Volumes
from . import phase
from .attempt import Attempt, Host
from .container import Container
from .phase import Role
from .run import DEFAULT_GRACE, MINIMUM
from .sequence import Containers
from .sharing import shared
from .story import Story

EVICTION_GRACE = 1.0
"""Seconds; the kubelet's for what takes more than it may."""

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
        self._verdict: Verdict | None = None
        self._stopping = False
        self._grace = order.get("grace", DEFAULT_GRACE)
        self._story = Story()
        self._sequence: Containers | None = None
        self._started_at = host.clock.time()
        self._directories: AttemptDirectories | None = None
        self._volumes = Volumes(order, host.clock)

    @property
    def key(self) -> tuple[str, int]:
        return self.order["uid"], self.order["attempt"]

    async def run(self) -> None:
        """Returns when its containers will not run again and none of them lives; `end` is the caller's to say."""
        deadline = self._arm_deadline()
        try:
            if self._verdict is None and not self._stopping:
                sequence = await self._prepare()
                if not self._stopping:
                    await sequence.run(self._grace)
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
        self._end_within(self._grace if grace is None else grace, MINIMUM, reason, message)

    def stop_within(self, seconds: float, reason: str, message: str) -> None:
        """End it within its own grace, or so many seconds where that is less: not a moment longer."""
        if not self.ended:
            self._end_within(min(self._grace, seconds), 0, reason, message)

    def evict(self, message: str) -> None:
        """End it because it takes more than it may."""
        self.stop(EVICTION_GRACE, "Evicted", message)

    def held(self) -> Held:
        order = self.order
        return {"uid": order["uid"], "attempt": order["attempt"], "ended": self.ended, "inputs": order.get("inputs", 0)}

    def update_inputs(self, newer: Inputs) -> None:
        """New content for its volumes of files, which its containers see at once."""
        if not self.ended:
            self.order["inputs"] = newer.get("version", 0)
            self._volumes.update(newer["volumes"], self._not_updated)

    def pids(self) -> list[int]:
        """Its processes, as far as they are known."""
        instances = [one.instance for one in self.inits + self.containers]
        return [pid for instance in instances if instance is not None for pid in instance.pids()]

    @property
    def clean(self) -> bool:
        """Whether none of its processes can have outlived it."""
        return self._directories is None or not self._directories.users

    def gone(self) -> bool:
        """Whether nothing of it is left on the node; its logs on the spool stay."""
        if self._directories is None:
            return True
        return self._volumes.settled and self._directories.give_back()

    async def remove(self) -> None:
        """Remove what is left."""
        await self._volumes.settle()
        if self._directories is not None and not self._directories.give_back():
            await self._directories.remove()

    def container(self, name: str) -> Container | None:
        return next((one for one in self.inits + self.containers if one.name == name), None)

    def event(self) -> EventFrame:
        """Its state now, whole; `notes` are those since the last call. The journal adds `seq`.

        `started_at` is missing as long as nothing of it was started: an attempt that ends so did nothing at all.
        """
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
            "notes": self._story.take(),
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
        inits = [one.state for one in self.inits if one.role is Role.INIT]
        return phase.phase_alive(inits, [(one.state, one.last) for one in self.containers])

    def _end_within(self, grace: float, least: float, reason: str, message: str) -> None:
        """What has come to its end already, but for its sidecars, does not fail any more."""
        self._stopping = True
        if reason and not (self._sequence is not None and self._sequence.done):
            self.fail(reason, message)
        if self._sequence is not None:
            self._sequence.stop(grace, least)

    def _arm_deadline(self) -> Timer | None:
        deadline = self.order.get("deadline")
        return None if deadline is None else self._host.clock.call_later(deadline, self._expire)

    def _expire(self) -> None:
        self.stop(None, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")

    async def _prepare(self) -> Containers:
        order = self.order
        logs = f"{self._host.spool}/pods/{safe(order['uid'])}"
        self._directories = AttemptDirectories(self._host.scratch, order["uid"], order["attempt"])
        await self._volumes.make(self._directories)
        attempt = Attempt(
            order=order,
            host=self._host,
            runtime=self._runtime(),
            directories=self._directories,
            volumes=self._volumes,
            logs=f"{logs}/{int(order['attempt'])}",
            pids=self.pids,
            note=self._note,
            changed=lambda: self._announce(self),
        )
        gpus = shared(order, self.gpus)
        for one in order.get("init_containers", ()):
            role = Role.SIDECAR if one.get("sidecar") else Role.INIT
            self.inits.append(Container(attempt, one, gpus[one["name"]], role))
        for one in order["containers"]:
            self.containers.append(Container(attempt, one, gpus[one["name"]], Role.REGULAR))
        self._sequence = Containers(self.inits, self.containers, self._guarded)
        return self._sequence

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

    def _not_updated(self, words: str) -> None:
        if not self.ended:
            self._note("Warning", "FailedMount", words)
            self._announce(self)

    def _note(self, kind: str, reason: str, message: str) -> None:
        """A warning is told at once, whatever becomes of it."""
        added = self._story.add(self._host.clock.time(), kind, reason, message)
        if added and kind == "Warning":
            self._announce(self)
