"""Which rooms pods of one shape may have, the best first."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace

from farnode.scheduler.queue import Shape
from farnode.scheduler.reservation import Reservations
from farnode.scheduler.room import Room

Rank = tuple[int, float]


def rank(room: Room) -> Rank:
    """The least is the best: where the fewest GPUs stay free (a pod without GPUs keeps off them, one with GPUs breaks up
    no larger group than it must), then the fullest, so that the emptiest run dry and can be given back. It only gets
    better as pods enter."""
    return room.free_gpus, -room.load


class Candidates:
    """Of rooms that fitted when the shape was first looked at. `entered` is the log of rooms that pods entered since the
    matching began, by number: their ranks are brought up to date from it, not by looking at all rooms."""

    def __init__(
        self, shape: Shape, rooms: Iterable[tuple[int, Room]], entered: list[int], reservations: Reservations
    ) -> None:
        self._shape = shape
        self._entered = entered
        self._seen = len(entered)
        self._reservations = reservations
        self._rooms = dict(rooms)
        self._heap = [(rank(room), number) for number, room in self._rooms.items()]
        heapify(self._heap)

    def best(self) -> Room | None:
        """The best room that has space now. What has none gets none while pods only enter, and is forgotten."""
        self._catch_up()
        while self._heap:
            room = self._rooms[self._heap[0][1]]
            if room.has_space(self._shape.demand) and self._reservations.admits(room, self._shape):
                return room
            heappop(self._heap)
        return None

    def enter(self) -> None:
        """A pod of this shape entered the best room."""
        number = self._heap[0][1]
        heapreplace(self._heap, (rank(self._rooms[number]), number))
        self._entered.append(number)
        self._seen = len(self._entered)

    def _catch_up(self) -> None:
        if self._seen == len(self._entered):
            return
        for number in set(self._entered[self._seen :]):
            room = self._rooms.get(number)
            if room is not None:
                heappush(self._heap, (rank(room), number))
        self._seen = len(self._entered)
