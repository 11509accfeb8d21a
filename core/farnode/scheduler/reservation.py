"""Rooms kept for pods that have waited too long for space which smaller ones keep taking, and who may enter meanwhile.

A room is kept until its pod has begun, so what is free there only grows: the pod begins, whatever arrives. There is at
most one for each owner of rooms, partition and kind (with GPUs, without). More would leave more of a site idle at a time
and serve nobody sooner who waits for the same rooms; rooms of other owners, partitions and kinds are not competed for.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from farnode.model.demand import Demand
from farnode.scheduler.queue import Line, Queue, Shape
from farnode.scheduler.room import Room, Taken
from farnode.scheduler.terms import Terms

Pool = tuple[str | None, str | None, bool]


class Reservations:
    """Those of one moment. Which they are is noted on the rooms themselves (`kept`)."""

    def __init__(self, queue: Queue, rooms: Collection[Room], at: float, terms: Terms) -> None:
        self._rooms = rooms
        self._at = at
        self._terms = terms
        self._starving: dict[tuple[object, ...], Shape] = {}
        self._settled = True
        self._space_at: dict[str, float] = {}
        self._kept: dict[Pool, Room] = {}
        for room in rooms:
            if room.kept is not None:
                if self._holds(room, room.kept, queue):
                    self._kept[_pool(room, room.kept)] = room
                else:
                    room.kept = None

    def starves(self, line: Line) -> bool:
        return self._at - line.since > self._terms.starve_after

    def of_priority(self, priority: int) -> list[tuple[Room, Shape]]:
        kept = [(room, room.kept) for room in self._kept.values() if room.kept is not None]
        return [(room, shape) for room, shape in kept if shape.demand.priority == priority]

    def release(self, room: Room, shape: Shape) -> None:
        room.kept = None
        del self._kept[_pool(room, shape)]
        self._settled = False

    def want(self, line: Line) -> None:
        """The first of the line found no space. If it starves, a room is kept for it, once somebody behind it would
        take what it waits for: choosing one is work, and where nobody would there is nothing to keep."""
        shape = line.shape
        demand = shape.demand
        alike = (shape.owner, demand.partition, demand.account, demand.qos, demand.gpu is not None)
        if alike not in self._starving and self.starves(line) and any(room.could_fit(shape) for room in self._rooms):
            self._starving[alike] = shape
            self._settled = False

    def settle(self) -> None:
        """Choose rooms for those who want one."""
        if self._settled:
            return
        self._settled = True
        for shape in self._starving.values():
            room = self._choose(shape)
            if room is not None:
                room.kept = shape
                self._kept[_pool(room, shape)] = room

    def admits(self, room: Room, shape: Shape) -> bool:
        """Whether a pod with space in the room may have it: where the room is kept for another of no lower priority,
        only what that one does not need, or what is surely given back before it could begin."""
        kept = room.kept
        if kept is None or kept == shape or shape.demand.priority > kept.demand.priority:
            return True
        return _leaves(room, shape.demand, kept.demand) or self._back_in_time(room, shape.demand, kept)

    def _holds(self, room: Room, shape: Shape, queue: Queue) -> bool:
        line = queue.line(shape)
        return line is not None and self.starves(line) and self._may_serve(room, shape)

    def _may_serve(self, room: Room, shape: Shape) -> bool:
        return room.could_fit(shape) and room.lasts(shape.demand, self._at, self._terms.default_need)

    def _choose(self, shape: Shape) -> Room | None:
        if any(room.kept == shape for room in self._kept.values()):
            return None
        rooms = [
            room
            for room in self._rooms
            if room.kept is None and _pool(room, shape) not in self._kept and self._may_serve(room, shape)
        ]
        if any(room.has_capacity(shape.demand) for room in rooms):
            return None  # it waits for a port: there is nothing to keep from others
        return min(rooms, key=lambda room: self._promise(room, shape.demand), default=None)

    def _promise(self, room: Room, demand: Demand) -> tuple[bool, bool, float, float]:
        """The least is the best: a room that does not end too early, without GPUs for who needs none, expected to have
        space soonest, the least loaded. A pod that did not say how long it runs may last its default from now."""
        space_at = _space_at(room, demand, self._at)
        if space_at == math.inf:
            return False, self._wastes(room, demand), self._at + self._terms.default_need, room.load
        late = not room.lasts(demand, space_at, self._terms.default_need)
        return late, self._wastes(room, demand), space_at, room.load

    def _wastes(self, room: Room, demand: Demand) -> bool:
        return demand.gpu is None and room.gpus > 0

    def _back_in_time(self, room: Room, demand: Demand, kept: Shape) -> bool:
        if demand.walltime is None:
            return False
        if room.nonce not in self._space_at:  # who enters meanwhile is gone by then
            self._space_at[room.nonce] = _space_at(room, kept.demand, self._at)
        space_at = self._space_at[room.nonce]
        if space_at == math.inf:
            return False
        return self._at + demand.walltime + demand.grace + self._terms.margin <= space_at


def _pool(room: Room, shape: Shape) -> Pool:
    return room.owner, room.partition, shape.demand.gpu is not None


def _leaves(room: Room, demand: Demand, kept: Demand) -> bool:
    """Whether a pod takes nothing that the room is kept for."""
    gpus = demand.gpu.count if demand.gpu else 0
    return (
        _spares(room.free_millicores, demand.millicores, kept.millicores)
        and _spares(room.free_memory, demand.memory, kept.memory)
        and _spares(room.free_gpus, gpus, kept.gpu.count if kept.gpu else 0)
        and not set(demand.ports) & set(kept.ports)
    )


def _spares(free: int, taken: int, kept: int) -> bool:
    return taken == 0 or free - taken >= kept


def _space_at(room: Room, demand: Demand, at: float) -> float:
    """When pods that said how long they run have left enough space, at the latest; infinity where that needs a pod to
    go that did not say it, or outstays what it said."""
    millicores, memory = room.free_millicores, room.free_memory
    gpus = room.free_gpus - (demand.gpu.count if demand.gpu else 0)
    blocked = {room.ports[port] for port in demand.ports if port in room.ports}
    space_at = at
    for ends_at, uid, taken in _ends(room, at):
        if millicores >= demand.millicores and memory >= demand.memory and gpus >= 0 and not blocked:
            break
        space_at = ends_at
        millicores += taken.demand.millicores
        memory += taken.demand.memory
        gpus += taken.demand.gpu.count if taken.demand.gpu else 0
        blocked.discard(uid)
    enough = millicores >= demand.millicores and memory >= demand.memory and gpus >= 0 and not blocked
    return space_at if enough else math.inf


def _ends(room: Room, at: float) -> list[tuple[float, str, Taken]]:
    """Of the pods that said it, in their order."""
    return sorted(
        (ends_at, uid, taken)
        for uid, taken in room.pods.items()
        if taken.demand.walltime is not None
        and (ends_at := taken.since + taken.demand.walltime + taken.demand.grace) > at
    )
