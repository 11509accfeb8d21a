"""Keeps containers within their limits where the kernel does not do it: one timer for all of them.

Every `PERIOD` all containers are looked at, in a thread; sooner when the node's pulse says that one could have come to
its limit since (see `pulse`), but never so often that looking takes more than `SHARE` of a processor. What is above its
limit is ended as the kernel would end it. A look at 100 containers of 3 processes each takes 4 ms for the processes and
at most 8 ms for the memory of those that have changed. Measured in all: 0.6 s of processor time in a minute for 100
such containers with limits that idle, 1.4 s where each starts two programs a second, nothing where none has a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..clock import Clock, Timer
from . import judgement
from .confines import Confines
from .oom import Kills
from .pulse import Pulse
from .usage import Subject, Usage, Usages

if TYPE_CHECKING:
    from ..pods.instance import Instance

TICK = 0.1
PERIOD = 1.0
SHARE = 0.05
NO_LIMIT = (math.inf, math.inf)

logger = logging.getLogger(__name__)


class Watch:
    def __init__(self, clock: Clock, kills: Kills) -> None:
        self._clock = clock
        self._kills = kills
        self._usages = Usages(os.getpid())
        self._instances: dict[Instance, None] = {}
        self._condemned: set[Instance] = set()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._looked_at = -PERIOD
        self._took = 0.0
        self._pulse = Pulse(0, 0)
        self._headroom = self._least = NO_LIMIT
        """Memory and processes that one may take before it is at its limit: what was left at the last look, and the
        limits of those that began since."""

    def add(self, instance: Instance) -> None:
        """It runs; `remove` it when nothing of it lives."""
        self._instances[instance] = None
        self._least = _at_most(self._least, instance.confines)
        self._headroom = _at_most(self._headroom, instance.confines)
        if self._timer is None and instance.confines.watched:
            self._timer = self._clock.call_later(TICK, self._tick)

    def remove(self, instance: Instance) -> None:
        self._instances.pop(instance, None)
        self._condemned.discard(instance)
        if self._timer is not None and not self._any():
            self._timer.cancel()
            self._timer = None

    async def look(self) -> Mapping[Instance, Usage]:
        """What all of them use now."""
        instances = list(self._instances)
        subjects = [instance.subject() for instance in instances]
        return dict(zip(instances, await self._take(subjects, everything=True)))

    def _any(self) -> bool:
        return any(instance.confines.watched for instance in self._instances)

    def _tick(self) -> None:
        self._timer = self._clock.call_later(TICK, self._tick)
        for instance in self._condemned:
            instance.kill()  # again: it may have forked meanwhile
        if self._task is None and self._due():
            self._task = asyncio.get_running_loop().create_task(self._examine())

    def _due(self) -> bool:
        since = self._clock.time() - self._looked_at
        if 0 <= since < self._took / SHARE:
            return False
        return not 0 <= since < PERIOD or Pulse.now().alarms(self._pulse, *self._headroom)

    async def _examine(self) -> None:
        try:
            instances = list(self._instances)
            subjects = [instance.subject() for instance in instances]
            self._kills.look()
            self._pulse, self._least = Pulse.now(), NO_LIMIT
            usages = await self._take(subjects, everything=False)
            memory, tasks = judgement.headroom(subjects, usages)
            self._headroom = min(memory, self._least[0]), min(tasks, self._least[1])
            for index, reason, message in judgement.sentences(subjects, usages):
                self._end(instances[index], usages[index], reason, message)
        except Exception:
            logger.exception("looking at the containers")
        finally:
            self._looked_at = self._clock.time()
            self._task = None

    async def _take(self, subjects: Sequence[Subject], everything: bool) -> list[Usage]:
        async with self._looking:
            usages, self._took = await asyncio.to_thread(self._measured, subjects, everything)
            return usages

    def _measured(self, subjects: Sequence[Subject], everything: bool) -> tuple[list[Usage], float]:
        begun = time.thread_time()
        return self._usages.take(subjects, everything), time.thread_time() - begun

    def _end(self, instance: Instance, usage: Usage, reason: str, message: str) -> None:
        if instance not in self._instances:
            return
        self._condemned.add(instance)
        instance.condemn(reason, message)
        for pid in usage.pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _at_most(headroom: tuple[float, float], confines: Confines) -> tuple[float, float]:
    """One that begins now may take as much as its limits, bytes and processes, and no more."""
    memory, processes = confines.memory, confines.processes
    return (
        headroom[0] if memory is None else min(headroom[0], memory),
        headroom[1] if processes is None else min(headroom[1], processes),
    )
