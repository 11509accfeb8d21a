"""The CPUs of the allocation: a container with a limit runs on as many as that, those that the fewest others use.

A share of a CPU's time cannot be had without a cgroup; half a CPU is a whole one here. A container without a limit runs
on all of them. What the batch system gave is never widened.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable


class Cpus:
    def __init__(self, numbers: Iterable[int]) -> None:
        self._users = Counter(dict.fromkeys(numbers, 0))

    def take(self, limit: float) -> frozenset[int]:
        """CPUs for a limit in cores; none (no pinning) where it is no limit here."""
        count = max(1, math.ceil(limit))
        if limit <= 0 or count >= len(self._users):
            return frozenset()
        chosen = sorted(self._users, key=lambda number: (self._users[number], number))[:count]
        self._users.update(chosen)
        return frozenset(chosen)

    def give_back(self, numbers: Collection[int]) -> None:
        self._users.subtract(numbers)
