"""Which waiting pod goes into which room that is free now.

The higher priority goes first; among equals the owner who has the least; of one owner's pods the one that has waited
longest. A pod that finds no space holds up nobody until it has waited so long that it starves: see `reservation`.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

from farnode.scheduler.candidates import Candidates
from farnode.scheduler.order import Shares, Turns
from farnode.scheduler.queue import Line, Queue, Shape
from farnode.scheduler.reservation import Reservations
from farnode.scheduler.room import Room
from farnode.scheduler.terms import Terms

__all__ = ["Terms", "match"]


def match(queue: Queue, rooms: Collection[Room], at: float, terms: Terms) -> list[tuple[str, str]]:
    """Bindings (uid, nonce); the pods have left the queue and are in their rooms. A shape that finds no space is not
    tried again, so the time taken grows with the bindings made and with the number of shapes, not with the pods."""
    free = [room for room in rooms if room.free_millicores > 0]
    if not free or not len(queue):
        return []
    lines = list(queue.lines())
    if not any(_may_fit(line.shape, free) for line in lines):
        return []
    return _Matching(queue, rooms, free, at, terms).bindings(lines)


def _may_fit(shape: Shape, rooms: Collection[Room]) -> bool:
    return any(room.has_capacity(shape.demand) for room in rooms)


class _Matching:
    def __init__(self, queue: Queue, rooms: Collection[Room], free: list[Room], at: float, terms: Terms) -> None:
        self._queue = queue
        self._free = list(enumerate(free))
        self._at = at
        self._terms = terms
        self._reservations = Reservations(queue, rooms, at, terms)
        self._shares = Shares(rooms)
        self._candidates: dict[Shape, Candidates] = {}
        self._entered: list[int] = []
        self._bindings: list[tuple[str, str]] = []

    def bindings(self, lines: list[Line]) -> list[tuple[str, str]]:
        lines.sort(key=_priority)
        for priority, level in groupby(lines, _priority):
            self._serve_kept(-priority)
            self._take_turns([line for line in level if line.count])
        return self._bindings

    def _serve_kept(self, priority: int) -> None:
        for room, shape in self._reservations.of_priority(priority):
            line = self._queue.line(shape)
            if line is not None and self._bind(line):
                self._reservations.release(room, shape)
                self._shares.add(shape.owner, shape.demand)

    def _take_turns(self, lines: list[Line]) -> None:
        turns = Turns(lines, self._shares)
        while line := turns.next():
            if self._bind(line):
                turns.done()
            else:
                self._reservations.want(line)
                turns.failed()

    def _bind(self, line: Line) -> bool:
        """The first of the line."""
        shape = line.shape
        candidates = self._candidates.get(shape)
        if candidates is None:
            candidates = self._candidates[shape] = self._look(shape)
        if candidates.best() is None:
            return False
        self._reservations.settle()
        room = candidates.best()
        if room is None:
            return False
        uid = line.head
        self._queue.remove(uid)
        room.take(uid, shape.demand, self._at, shape.owner)
        candidates.enter()
        self._bindings.append((uid, room.nonce))
        return True

    def _look(self, shape: Shape) -> Candidates:
        need = self._terms.default_need
        rooms = ((number, room) for number, room in self._free if room.fits(shape, self._at, need))
        return Candidates(shape, rooms, self._entered, self._reservations)


def _priority(line: Line) -> int:
    return -line.shape.demand.priority
