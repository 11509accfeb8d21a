"""Which waiting pod goes to which runner that has room: first come, first served, by what is free now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from farnode.model.demand import Demand
from farnode.model.gpu import fits
from farnode.model.offer import GpuOffer


@dataclass(slots=True)
class Room:
    """What is free on one runner. `owner` None: pods of any owner may share it. Changed by `match` as it binds. `ports`
    are those claimed on its node: one set, shared by all rooms of the node."""

    nonce: str
    owner: str | None
    millicores: int
    memory: int
    gpu: GpuOffer | None
    gpus: int
    ports: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Waiting:
    uid: str
    owner: str
    demand: Demand


def match(waiting: Iterable[Waiting], rooms: Sequence[Room]) -> list[tuple[str, str]]:
    """Bindings (uid, nonce), oldest pods first. A shape that did not fit once is not tried again, so the cost for a
    long queue of like-shaped pods is one look at each."""
    bindings: list[tuple[str, str]] = []
    hopeless: set[tuple[str, Demand]] = set()
    for pod in waiting:
        if not any(room.millicores > 0 for room in rooms):
            break
        if (pod.owner, pod.demand) in hopeless:
            continue
        room = next((room for room in rooms if _fits(pod, room)), None)
        if room is None:
            hopeless.add((pod.owner, pod.demand))
            continue
        _take(pod.demand, room)
        bindings.append((pod.uid, room.nonce))
    return bindings


def _fits(pod: Waiting, room: Room) -> bool:
    demand = pod.demand
    if room.owner not in (None, pod.owner) or demand.millicores > room.millicores or demand.memory > room.memory:
        return False
    if not room.ports.isdisjoint(demand.ports):
        return False
    if demand.gpu is None:
        return True
    return room.gpu is not None and demand.gpu.count <= room.gpus and fits(demand.gpu, room.gpu)


def _take(demand: Demand, room: Room) -> None:
    room.millicores -= demand.millicores
    room.memory -= demand.memory
    room.gpus -= demand.gpu.count if demand.gpu else 0
    room.ports.update(demand.ports)
