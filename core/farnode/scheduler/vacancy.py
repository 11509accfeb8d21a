"""When a room will have space for a pod, by what the pods in it said of how long they run."""

from __future__ import annotations

import math

from farnode.model.demand import Demand
from farnode.scheduler.room import Room, Taken


def space_at(room: Room, demand: Demand, at: float) -> float:
    """At the latest; infinity where that needs a pod to go that did not say it, or that outstays what it said."""
    missing = _Missing(room, demand)
    space = at
    for ends_at, uid, taken in _ends(room, at):
        if missing.nothing:
            break
        missing.give_back(uid, taken.demand)
        space = ends_at
    return space if missing.nothing else math.inf


class _Missing:
    """What a pod lacks in a room."""

    def __init__(self, room: Room, demand: Demand) -> None:
        self._millicores = demand.millicores - room.free_millicores
        self._memory = demand.memory - room.free_memory
        self._gpus = demand.gpu.count - room.free_gpus if demand.gpu else 0
        self._holders = {room.ports[port] for port in demand.ports if port in room.ports}

    @property
    def nothing(self) -> bool:
        return self._millicores <= 0 and self._memory <= 0 and self._gpus <= 0 and not self._holders

    def give_back(self, uid: str, demand: Demand) -> None:
        self._millicores -= demand.millicores
        self._memory -= demand.memory
        self._gpus -= demand.gpu.count if demand.gpu else 0
        self._holders.discard(uid)


def _ends(room: Room, at: float) -> list[tuple[float, str, Taken]]:
    """Of the pods that said it, the first to end first."""
    return sorted(
        (ends_at, uid, taken)
        for uid, taken in room.pods.items()
        if taken.demand.walltime is not None
        and (ends_at := taken.since + taken.demand.walltime + taken.demand.grace) > at
    )
