"""Rooms kept for pods that have waited too long for space which smaller ones keep taking, and who may enter meanwhile.

A room is kept until its pod has begun, so what is free there only grows, whatever arrives. Where that takes as long
again as the pod had waited, the room's pods may stay for ever, and those of another may not: it is chosen anew. However
long pods stay, some time that is long enough for them to go.

At most one is kept for each owner of rooms, partition and kind (with GPUs, without): more would leave more of a site
idle at a time and serve nobody sooner who waits for the same rooms; the others are not waited for by the same pods.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property

from farnode.model.demand import Demand
from farnode.scheduler.queue import Line, Queue, Shape
from farnode.scheduler.room import Kept, Room
from farnode.scheduler.terms import Terms
from farnode.scheduler.vacancy import guess_at, sure_at

Pool = tuple[str | None, str | None, bool]
Likes = tuple[str, str | None, str | None, str | None, bool]


class Reservations:
    """Those of one moment. Which they are is noted on the rooms themselves (`kept`)."""

    def __init__(self, queue: Queue, rooms: Collection[Room], at: float, terms: Terms) -> None:
        self._rooms = rooms
        self._at = at
        self._terms = terms
        self._starving: dict[Likes, Line] = {}
        self._settled: set[Likes] = set()
        self._sure_at: dict[str, float] = {}
        self._kept: dict[Pool, Room] = {}
        for room in rooms:
            if room.kept is not None:
                self._keep_on(room, room.kept, queue.line(room.kept.shape))

    def starves(self, line: Line) -> bool:
        return self._at - line.since > self._terms.starve_after

    def of_priority(self, priority: int) -> list[tuple[Room, Shape]]:
        kept = [(room, room.kept.shape) for room in self._kept.values() if room.kept is not None]
        return [(room, shape) for room, shape in kept if shape.demand.priority == priority]

    def release(self, room: Room) -> None:
        """Its pod has begun."""
        if room.kept is not None:
            del self._kept[_pool(room, room.kept.shape)]
            room.kept = None
            self._sure_at.pop(room.nonce, None)
            self._settled.clear()

    def want(self, line: Line) -> None:
        """The first of the line found no space. If it starves, a room is to be kept for it; which one is chosen only
        when somebody behind it would take what it waits for: until then there is nothing to keep."""
        if self.starves(line):
            likes = _likes(line.shape)
            if likes not in self._starving and self._lacks_capacity(line.shape):
                self._starving[likes] = line

    def settle(self, room: Room) -> bool:
        """Before a pod enters the room: keep rooms for those before it who could have had this one. Whether any were
        looked for."""
        if len(self._settled) == len(self._starving):
            return False
        hurt = [
            (likes, line)
            for likes, line in self._starving.items()
            if likes not in self._settled and room.could_fit(line.shape)
        ]
        for likes, line in hurt:
            self._settled.add(likes)
            self._keep_one(line)
        return bool(hurt)

    def admits(self, room: Room, shape: Shape) -> bool:
        """Whether a pod with space in the room may have it: where the room is kept for another of no lower priority,
        only what that one does not need, or what is surely given back before it could begin."""
        if room.kept is None or room.kept.shape == shape:
            return True
        demand, kept = shape.demand, room.kept.shape.demand
        return (
            demand.priority > kept.priority
            or _leaves_enough(room, demand, kept)
            or self._back_in_time(room, demand, kept)
        )

    @cached_property
    def _by_owner(self) -> defaultdict[str | None, list[Room]]:
        by_owner: defaultdict[str | None, list[Room]] = defaultdict(list)
        for room in self._rooms:
            by_owner[room.owner].append(room)
        return by_owner

    def _open_to(self, shape: Shape) -> list[Room]:
        return self._by_owner.get(shape.owner, []) + self._by_owner.get(None, [])

    def _keep_on(self, room: Room, kept: Kept, line: Line | None) -> None:
        pool = _pool(room, kept.shape)
        starves = line is not None and self.starves(line) and self._may_serve(room, kept.shape)
        if starves and self._at <= kept.until and pool not in self._kept and not self._has_one(kept.shape):
            self._kept[pool] = room
        else:
            room.kept = None

    def _has_one(self, shape: Shape) -> bool:
        return any(room.kept is not None and room.kept.shape == shape for room in self._kept.values())

    def _lacks_capacity(self, shape: Shape) -> bool:
        """And nothing else: where there is capacity it waits for a port, and keeping cores would help nobody."""
        rooms = self._open_to(shape)
        return any(self._may_serve(room, shape) for room in rooms) and not any(
            room.has_capacity(shape.demand) and room.kept is None and self._may_serve(room, shape) for room in rooms
        )

    def _keep_one(self, line: Line) -> None:
        shape = line.shape
        rooms = [
            room
            for room in self._open_to(shape)
            if room.kept is None and _pool(room, shape) not in self._kept and self._may_serve(room, shape)
        ]
        if rooms and not self._has_one(shape):
            best = min(rooms, key=lambda room: self._promise(room, shape.demand))
            patience = max(self._terms.default_need, self._at - line.since)
            best.kept = Kept(shape, self._at + patience)
            self._kept[_pool(best, shape)] = best

    def _may_serve(self, room: Room, shape: Shape) -> bool:
        return room.could_fit(shape) and room.lasts(shape.demand, self._at, self._terms.default_need)

    def _promise(self, room: Room, demand: Demand) -> tuple[bool, float, bool, float]:
        """The least is the best: a room that does not end too early, expected to have space soonest, without GPUs for a
        pod without, the least loaded."""
        expected = guess_at(room, demand, self._at, self._terms.default_need)
        late = not room.lasts(demand, expected, self._terms.default_need)
        return late, expected, demand.gpu is None and room.gpus > 0, room.load

    def _back_in_time(self, room: Room, demand: Demand, kept: Demand) -> bool:
        if demand.walltime is None:
            return False
        if room.nonce not in self._sure_at:  # who enters from now on will have left by then
            self._sure_at[room.nonce] = sure_at(room, kept, self._at)
        back = self._at + demand.walltime + demand.grace + self._terms.margin
        return back <= self._sure_at[room.nonce] < math.inf


def _likes(shape: Shape) -> Likes:
    """Where it may go."""
    demand = shape.demand
    return shape.owner, demand.partition, demand.account, demand.qos, demand.gpu is not None


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
