"""Which waiting pod goes into which room that is free now.

The higher priority goes first; among equals the owner who has the least; of one owner's pods the one that has waited
longest. A pod that finds no space holds up nobody until it has waited so long that it starves: see `reservation`.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

from farnode.scheduler.candidates import Candidates, Openings
from farnode.scheduler.order import Turns
from farnode.scheduler.queue import Line, Queue, Shape
from farnode.scheduler.reservation import Reservations
from farnode.scheduler.room import Room
from farnode.scheduler.terms import Terms

__all__ = ["Terms", "match"]


def match(queue: Queue, rooms: Collection[Room], at: float, terms: Terms) -> list[tuple[str, str]]:
    """Bindings (uid, nonce); the pods have left the queue and are in their rooms. A shape that finds no space is not
    tried again, so the time taken grows with the bindings made and with the number of shapes, not with the pods."""
    openings = Openings(rooms if len(queue) else ())
    if not openings or not any(openings.may_fit(line.shape) for line in queue.lines()):
        return []
    return _Matching(queue, rooms, openings, at, terms).bindings()


class _Matching:
    def __init__(self, queue: Queue, rooms: Collection[Room], openings: Openings, at: float, terms: Terms) -> None:
        self._queue = queue
        self._rooms = rooms
        self._openings = openings
        self._at = at
        self._terms = terms
        self._reservations = Reservations(queue, rooms, at, terms)
        self._candidates: dict[Shape, Candidates] = {}
        self._entered: list[int] = []
        self._bindings: list[tuple[str, str]] = []

    def bindings(self) -> list[tuple[str, str]]:
        lines = [line for line in self._queue.lines() if self._concerns(line)]
        for priority, level in groupby(sorted(lines, key=_priority, reverse=True), _priority):
            self._serve_kept(priority)
            self._take_turns([line for line in level if line.count])
        return self._bindings

    def _concerns(self, line: Line) -> bool:
        return self._openings.may_fit(line.shape) or self._reservations.starves(line)

    def _serve_kept(self, priority: int) -> None:
        for room, shape in self._reservations.of_priority(priority):
            line = self._queue.line(shape)
            if line is not None and self._bind(line):
                self._reservations.release(room)

    def _take_turns(self, lines: list[Line]) -> None:
        self._candidates.clear()  # of rooms that were kept until now
        turns = Turns(lines, self._rooms)
        while line := turns.next():
            if self._bind(line):
                turns.done()
            else:
                self._reservations.want(line)
                turns.failed()

    def _bind(self, line: Line) -> bool:
        """The first of the line; False where it has no space now."""
        shape = line.shape
        candidates = self._candidates.get(shape) or self._look(shape)
        room = candidates.best()
        while room is not None and self._reservations.settle(room):
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
        rooms = (
            (number, room)
            for number, room in self._openings.for_owner(shape.owner)
            if room.fits(shape, self._at, self._terms.default_need)
        )
        candidates = self._candidates[shape] = Candidates(shape, rooms, self._entered, self._reservations)
        return candidates


def _priority(line: Line) -> int:
    return line.shape.demand.priority
