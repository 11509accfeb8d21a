"""When a room will have space for a pod: what its pods said of how long they run, and what is guessed of the others."""

from __future__ import annotations

import math
from collections.abc import Iterable

from farnode.model.demand import Demand
from farnode.scheduler.room import Room, Taken


def sure_at(room: Room, demand: Demand, at: float) -> float:
    """At the latest; infinity where that needs a pod to go that did not say it, or that outstays what it said."""
    ends = [(_said(taken), uid) for uid, taken in room.pods.items() if taken.demand.walltime is not None]
    return _space_at(room, demand, at, (end for end in ends if end[0] > at))


def guess_at(room: Room, demand: Demand, at: float, default_need: float) -> float:
    """A pod that did not say how long it runs is taken to need `default_need` from now, and one that outstays that, or
    what it said, as long again as it has run. Infinity where a port is missing that none of the room's pods has."""
    return _space_at(room, demand, at, [(_guess(taken, at, default_need), uid) for uid, taken in room.pods.items()])


def _said(taken: Taken) -> float:
    demand, since, _ = taken
    return math.inf if demand.walltime is None else since + demand.walltime + demand.grace


def _guess(taken: Taken, at: float, default_need: float) -> float:
    said, lasted = _said(taken), at - taken.since
    if said == math.inf:
        return at + max(default_need, lasted)
    return said if said > at else at + lasted


def _space_at(room: Room, demand: Demand, at: float, ends: Iterable[tuple[float, str]]) -> float:
    """`ends`: when which pods end. What is missing is counted down to nothing."""
    millicores = demand.millicores - room.free_millicores
    memory = demand.memory - room.free_memory
    gpus = demand.gpu.count - room.free_gpus if demand.gpu else 0
    holders = {room.ports[port] for port in demand.ports if port in room.ports}
    space = at
    for ends_at, uid in sorted(ends):
        if millicores <= 0 and memory <= 0 and gpus <= 0 and not holders:
            break
        given = room.pods[uid].demand
        millicores -= given.millicores
        memory -= given.memory
        gpus -= given.gpu.count if given.gpu else 0
        holders.discard(uid)
        space = ends_at
    missing = millicores > 0 or memory > 0 or gpus > 0 or holders
    return math.inf if missing else space
