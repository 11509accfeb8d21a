"""The resources of this node of the allocation: lent to containers, and watched."""

from __future__ import annotations

from collections.abc import Iterable

from ...wire.messages import ContainerOrder, PodOrder
from ..clock import Clock
from . import oom
from .affinity import Cpus
from .cgroup import Delegation, Group
from .confines import Confines
from .eviction import Evictions
from .oom import Kills
from .watch import Watch


class Resources:
    """`memory`: bytes of the allocation, here."""

    def __init__(self, clock: Clock, cpus: Iterable[int], memory: int, delegation: Delegation | None = None) -> None:
        self.kills = Kills(clock)
        self.watch = Watch(clock, self.kills)
        self.evictions = Evictions(clock)
        self._cpus = Cpus(cpus)
        self._memory = memory
        self._delegation = delegation
        self._own_score = oom.own_score()

    def confine(self, pod: PodOrder, container: ContainerOrder) -> Confines:
        """For one run; `release` them after it."""
        self.kills.look()
        memory, processes = container.get("memory_limit"), pod.get("limits", {}).get("processes")
        group = self._group(memory, processes)
        return Confines(
            cpus=self._cpus.take(container.get("cpu_limit", 0.0)),
            oom_score=oom.score(pod, container, self._memory, self._own_score),
            memory=None if group else memory,
            processes=None if group else processes,
            group=group,
        )

    def release(self, confines: Confines) -> None:
        self._cpus.give_back(confines.cpus)
        if confines.group is not None:
            confines.group.remove()

    def close(self) -> None:
        if self._delegation is not None:
            self._delegation.remove()

    def _group(self, memory: int | None, processes: int | None) -> Group | None:
        if self._delegation is None or (memory is None and processes is None):
            return None
        try:
            return self._delegation.group(memory, processes)
        except OSError:
            return None  # it is watched instead
