"""Who is ended first when memory runs out, and whether that has happened.

Source of the scores: the kubelet ("Node-pressure Eviction", oom_score_adj by quality of service). An ordinary user may
raise a score only, so they begin above the runner's own: the kernel ends any container before the runner.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...wire.messages import ContainerOrder, PodOrder
from ..clock import Clock
from . import cgroup

LEAST = 100
"""What every container is above the runner: a tenth of the memory, far more than a runner needs."""
MOST = 1000
BURSTABLE = (3, 999)
"""The kubelet's bounds for containers that ask for some memory."""
RECENT = 5.0
"""Seconds in which the kernel must have ended something for a container's SIGKILL to be its doing."""
APART = 0.5
"""Seconds between two looks, at least: however many containers are started, few are remembered."""


def own_score() -> int:
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


def score(pod: PodOrder, container: ContainerOrder, capacity: int, own: int) -> int:
    """`capacity`: bytes of memory of the allocation; `own`: the runner's score."""
    return min(MOST, max(own + LEAST, _of_the_kubelet(pod, container, capacity)))


def _of_the_kubelet(pod: PodOrder, container: ContainerOrder, capacity: int) -> int:
    """Requests of CPU do not reach the runner: a pod whose containers all have both limits, and ask for the memory of
    theirs, counts as guaranteed."""
    containers = [*pod.get("containers", ()), *pod.get("init_containers", ())]
    if all(one.get("cpu_limit") and _request(one) == one.get("memory_limit", -1) for one in containers):
        return -MOST
    if not any(one.get("cpu_limit") or _request(one) for one in containers):
        return MOST
    least, most = BURSTABLE
    return min(most, max(least, MOST - MOST * _request(container) // max(1, capacity)))


def _request(container: ContainerOrder) -> int:
    """A limit without a request is the request."""
    return container.get("memory_request", container.get("memory_limit", 0))


class Kills:
    """What the kernel has ended for want of memory, in the last seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._file = cgroup.kills_file()
        self._counts = [(clock.time(), self._count())]

    def look(self) -> None:
        """To be called now and then: what happened before counts as long ago after `RECENT` seconds."""
        now = self._clock.time()
        if 0 <= now - self._counts[-1][0] < APART:
            return
        self._counts.append((now, self._count()))
        self._counts = list(_from(self._counts, now - RECENT))

    @property
    def recent(self) -> bool:
        return self._count() > self._counts[0][1]

    def _count(self) -> int:
        return cgroup.counted(self._file) or 0


def _from(counts: list[tuple[float, int]], oldest: float) -> Iterable[tuple[float, int]]:
    """Those that are not older, and the last one before them."""
    first = max((index for index, (at, _) in enumerate(counts) if at <= oldest), default=0)
    return counts[first:]
