"""Rooms kept for pods that have waited too long for space which smaller ones keep taking, and who may enter meanwhile.

A room is kept until its pod has begun, so what is free there only grows: the pod begins, whatever arrives. There is at
most one for each owner of rooms, partition and kind (with GPUs, without): more would leave more of a site idle at a
time and serve nobody sooner who waits for the same rooms, and the others are not waited for by the same pods.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property

from farnode.model.demand import Demand
from farnode.scheduler.queue import Line, Queue, Shape
from farnode.scheduler.room import Room
from farnode.scheduler.terms import Terms
from farnode.scheduler.vacancy import space_at

Pool = tuple[str | None, str | None, bool]
Likes = tuple[str, str | None, str | None, str | None, bool]


class Reservations:
    """Those of one moment. Which they are is noted on the rooms themselves (`kept`)."""

    def __init__(self, queue: Queue, rooms: Collection[Room], at: float, terms: Terms) -> None:
        self._rooms = rooms
        self._at = at
        self._terms = terms
        self._starving: dict[Likes, Shape] = {}
        self._settled: set[Likes] = set()
        self._space_at: dict[str, float] = {}
        self._kept: dict[Pool, Room] = {}
        for room in rooms:
            if room.kept is not None:
                self._keep_on(room, room.kept, queue)

    def starves(self, line: Line) -> bool:
        return self._at - line.since > self._terms.starve_after

    def of_priority(self, priority: int) -> list[tuple[Room, Shape]]:
        kept = [(room, room.kept) for room in self._kept.values() if room.kept is not None]
        return [(room, shape) for room, shape in kept if shape.demand.priority == priority]

    def release(self, room: Room) -> None:
        """Its pod has begun."""
        if room.kept is not None:
            del self._kept[_pool(room, room.kept)]
            room.kept = None
            self._settled.clear()

    def want(self, line: Line) -> None:
        """The first of the line found no space. If it starves, a room is to be kept for it; which one is chosen only
        when somebody behind it would take what it waits for: until then there is nothing to keep."""
        if not self.starves(line):
            return
        shape, demand = line.shape, line.shape.demand
        likes = (shape.owner, demand.partition, demand.account, demand.qos, demand.gpu is not None)
        if likes not in self._starving and any(room.could_fit(shape) for room in self._open_to(shape)):
            self._starving[likes] = shape

    def settle(self, room: Room) -> bool:
        """Before a pod enters the room: keep rooms for those before it who could have had this one. Whether any were
        looked for."""
        if len(self._settled) == len(self._starving):
            return False
        hurt = [
            (likes, shape)
            for likes, shape in self._starving.items()
            if likes not in self._settled and room.could_fit(shape)
        ]
        for likes, shape in hurt:
            self._settled.add(likes)
            self._keep_one(shape)
        return bool(hurt)

    def admits(self, room: Room, shape: Shape) -> bool:
        """Whether a pod with space in the room may have it: where the room is kept for another of no lower priority,
        only what that one does not need, or what is surely given back before it could begin."""
        kept = room.kept
        if kept is None or kept == shape or shape.demand.priority > kept.demand.priority:
            return True
        return _leaves_enough(room, shape.demand, kept.demand) or self._back_in_time(room, shape.demand, kept)

    @cached_property
    def _by_owner(self) -> defaultdict[str | None, list[Room]]:
        by_owner: defaultdict[str | None, list[Room]] = defaultdict(list)
        for room in self._rooms:
            by_owner[room.owner].append(room)
        return by_owner

    def _open_to(self, shape: Shape) -> list[Room]:
        return self._by_owner.get(shape.owner, []) + self._by_owner.get(None, [])

    def _keep_on(self, room: Room, shape: Shape, queue: Queue) -> None:
        line, pool = queue.line(shape), _pool(room, shape)
        starves = line is not None and self.starves(line)
        if starves and self._may_serve(room, shape) and pool not in self._kept and not self._has_one(shape):
            self._kept[pool] = room
        else:
            room.kept = None

    def _has_one(self, shape: Shape) -> bool:
        return any(room.kept == shape for room in self._kept.values())

    def _keep_one(self, shape: Shape) -> None:
        if self._has_one(shape):
            return
        rooms = [
            room
            for room in self._open_to(shape)
            if room.kept is None and _pool(room, shape) not in self._kept and self._may_serve(room, shape)
        ]
        if not rooms or any(room.has_capacity(shape.demand) for room in rooms):
            return  # where there is capacity it waits for a port, and keeping cores would help nobody
        best = min(rooms, key=lambda room: self._promise(room, shape.demand))
        best.kept = shape
        self._kept[_pool(best, shape)] = best

    def _may_serve(self, room: Room, shape: Shape) -> bool:
        return room.could_fit(shape) and room.lasts(shape.demand, self._at, self._terms.default_need)

    def _promise(self, room: Room, demand: Demand) -> tuple[bool, bool, float, float]:
        """The least is the best: a room that does not end too early, without GPUs for a pod without, expected to have
        space soonest, the least loaded. A pod that does not say how long it runs is taken to last its default from
        now."""
        wasteful = demand.gpu is None and room.gpus > 0
        expected = space_at(room, demand, self._at)
        if expected == math.inf:
            return False, wasteful, self._at + self._terms.default_need, room.load
        late = not room.lasts(demand, expected, self._terms.default_need)
        return late, wasteful, expected, room.load

    def _back_in_time(self, room: Room, demand: Demand, kept: Shape) -> bool:
        if demand.walltime is None:
            return False
        if room.nonce not in self._space_at:  # who enters from now on will have left by then
            self._space_at[room.nonce] = space_at(room, kept.demand, self._at)
        expected = self._space_at[room.nonce]
        back = self._at + demand.walltime + demand.grace + self._terms.margin
        return back <= expected < math.inf


def _pool(room: Room, shape: Shape) -> Pool:
    return room.owner, room.partition, shape.demand.gpu is not None


def _leaves_enough(room: Room, demand: Demand, kept: Demand) -> bool:
    """Whether a pod takes only what the one that the room is kept for does not need."""
    return (
        _spares(room.free_millicores, demand.millicores, kept.millicores)
        and _spares(room.free_memory, demand.memory, kept.memory)
        and _spares(room.free_gpus, demand.gpu.count if demand.gpu else 0, kept.gpu.count if kept.gpu else 0)
        and set(demand.ports).isdisjoint(kept.ports)
    )


def _spares(free: int, taken: int, kept: int) -> bool:
    return taken == 0 or free - taken >= kept
