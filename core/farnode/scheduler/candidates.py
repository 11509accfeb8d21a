"""Which rooms pods of one shape may have, the best first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from itertools import chain

from farnode.scheduler.queue import Shape
from farnode.scheduler.reservation import Reservations
from farnode.scheduler.room import Room

Numbered = tuple[int, Room]


class Openings:
    """Rooms with cores left, by owner, and the most that any of them has left."""

    def __init__(self, rooms: Iterable[Room]) -> None:
        self._rooms: defaultdict[str | None, list[Numbered]] = defaultdict(list)
        for number, room in enumerate(rooms):
            if room.free_millicores > 0:
                self._rooms[room.owner].append((number, room))
        self._most = {
            owner: (
                max(room.free_millicores for _, room in of_owner),
                max(room.free_memory for _, room in of_owner),
                max(room.free_gpus for _, room in of_owner),
            )
            for owner, of_owner in self._rooms.items()
        }

    def __bool__(self) -> bool:
        return bool(self._rooms)

    def may_fit(self, shape: Shape) -> bool:
        """False is sure: no room has so much left."""
        return self._within(shape, shape.owner) or self._within(shape, None)

    def for_owner(self, owner: str) -> Iterator[Numbered]:
        return chain(self._rooms.get(owner, ()), self._rooms.get(None, ()))

    def _within(self, shape: Shape, owner: str | None) -> bool:
        most, demand = self._most.get(owner), shape.demand
        return (
            most is not None
            and demand.millicores <= most[0]
            and demand.memory <= most[1]
            and (demand.gpu is None or demand.gpu.count <= most[2])
        )


def rank(room: Room) -> tuple[int, float]:
    """The least is the best: where the fewest GPUs stay free (a pod without GPUs keeps off them, one with GPUs breaks
    up no larger group than it must), then the fullest, so that the emptiest run dry and can be given back. It only gets
    better as pods enter."""
    return room.free_gpus, -room.load


class Candidates:
    """Rooms that fitted when the shape was first looked at. `entered`: the rooms that pods entered since the matching
    began, by number; ranks are brought up to date from it, not by looking at all rooms."""

    def __init__(self, shape: Shape, rooms: Iterable[Numbered], entered: list[int], reservations: Reservations) -> None:
        self._shape = shape
        self._rooms = dict(rooms)
        self._entered = entered
        self._seen = len(entered)
        self._reservations = reservations
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
        for number in set(self._entered[self._seen :]) & self._rooms.keys():
            heappush(self._heap, (rank(self._rooms[number]), number))
        self._seen = len(self._entered)
