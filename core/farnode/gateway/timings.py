"""How long pods waited for room, and how long it took them to start there, for metrics. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from farnode.gateway.machine import Machine
from farnode.gateway.records import Stage

WAITS = (0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0, 172800.0)
STARTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0)


class Histogram:
    """Counts of seconds by bounds that include themselves."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.sum = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    @property
    def count(self) -> int:
        return sum(self._counts)

    def observe(self, seconds: float) -> None:
        self.sum += seconds
        self._counts[bisect_left(self._bounds, seconds)] += 1

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each bound, as Prometheus writes it, with how many were not longer."""
        return zip((*(f"{bound:g}" for bound in self._bounds), "+Inf"), accumulate(self._counts), strict=True)


class Timings:
    """Shown every pod that changed, it sees when one was bound and when it was first said to run."""

    def __init__(self, machine: Machine) -> None:
        self.waits = Histogram(WAITS)
        self.starts = Histogram(STARTS)
        self._machine = machine
        self._bound: dict[str, float | None] = {}
        """When pods were bound that have not started; None: before this gateway began."""

    def load(self) -> None:
        """Of pods that were bound before a restart nobody knows any more when."""
        self._bound = dict.fromkeys(self._machine.stages[Stage.BOUND])

    def note(self, uids: Iterable[str], at: float) -> None:
        for uid in uids:
            pod = self._machine.pods.get(uid)
            if pod is None or "startTime" in pod.status:
                if (bound := self._bound.pop(uid, None)) is not None and pod is not None:
                    self.starts.observe(max(0.0, at - bound))
            elif pod.stage is not Stage.BOUND:
                self._bound.pop(uid, None)
            elif uid not in self._bound:
                self._bound[uid] = at
                self.waits.observe(max(0.0, at - (at if pod.queued is None else pod.queued)))
