"""When which pod is to be looked at again: one time for each."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class Alarms:
    """Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, uid: str, at: float) -> None:
        """In place of the time it had."""
        self._at[uid] = at
        heapq.heappush(self._heap, (at, uid))
        if len(self._heap) > 2 * len(self._at) + 1000:
            self._heap = [(at, uid) for uid, at in self._at.items()]
            heapq.heapify(self._heap)

    def clear(self, uid: str) -> None:
        self._at.pop(uid, None)

    def due(self, now: float) -> Iterator[str]:
        """Those whose time has come, each once."""
        while self._heap and self._heap[0][0] <= now:
            at, uid = heapq.heappop(self._heap)
            if self._at.get(uid) == at:
                del self._at[uid]
                yield uid
