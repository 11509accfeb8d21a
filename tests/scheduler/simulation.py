"""Pods that come and go in time that nobody waits for: each event is followed by one call of the matcher."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from farnode.scheduler.matching import Terms, match
from farnode.scheduler.queue import Queue, Shape
from farnode.scheduler.room import Room


@dataclass(frozen=True, slots=True)
class Pod:
    """It comes at `at`, and once begun it runs `lasts` seconds."""

    uid: str
    shape: Shape
    at: float
    lasts: float


class Simulation:
    """`watch` is called after each call of the matcher."""

    def __init__(
        self,
        rooms: Sequence[Room],
        pods: Sequence[Pod],
        terms: Terms,
        watch: Callable[[Simulation], None] = lambda _: None,
    ) -> None:
        self.rooms = rooms
        self.queue = Queue()
        self.now = 0.0
        self.began: dict[str, float] = {}
        self._terms = terms
        self._watch = watch
        self._pods: dict[str, Pod] = {}
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        for pod in pods:
            self.submit(pod)

    def submit(self, pod: Pod) -> None:
        self._pods[pod.uid] = pod
        self._plan(pod.at, lambda: self.queue.add(pod.uid, pod.shape, pod.at))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now = self._events[0][0]
            while self._events and self._events[0][0] == self.now:
                heapq.heappop(self._events)[2]()
            self._match()
            self._watch(self)

    def in_use(self, owner: str) -> int:
        """How many pods of an owner run."""
        return sum(taken.owner == owner for room in self.rooms for taken in room.pods.values())

    def _plan(self, at: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), what))

    def _match(self) -> None:
        rooms = {room.nonce: room for room in self.rooms}
        for uid, nonce in match(self.queue, self.rooms, self.now, self._terms):
            assert uid not in self.began
            self.began[uid] = self.now
            self._plan(self.now + self._pods[uid].lasts, partial(rooms[nonce].give, uid))
