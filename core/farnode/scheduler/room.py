"""What a running pilot has, what of it is free, and which pods it could take."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from farnode.model.demand import Demand
from farnode.model.gpu import fits
from farnode.model.offer import GpuOffer
from farnode.scheduler.queue import Shape

_suits = lru_cache(maxsize=1024)(fits)


class Taken(NamedTuple):
    """`since` when a pod has its place in a room."""

    demand: Demand
    since: float
    owner: str


class Kept(NamedTuple):
    """For the first pod of a shape, until it has begun or the time is over."""

    shape: Shape
    until: float


@dataclass(slots=True)
class Use:
    """What pods have in all."""

    millicores: int = 0
    memory: int = 0
    gpus: int = 0

    def add(self, millicores: int, memory: int, gpus: int) -> None:
        self.millicores += millicores
        self.memory += memory
        self.gpus += gpus


@dataclass(slots=True)
class Room:
    """`millicores`, `memory` (bytes) and `gpus` are all there is; `free_…` what is left of it (less than nothing where
    pods were put there without asking). `owner` None: pods of any owner may share it. `ports`: which pod has a port;
    one dict for all rooms of a node. `ends_at` None: it has no end. `default_need`: what a pod that does not say it is
    taken to need here at most (seconds), where that is less than elsewhere. `kept`: of which shape a pod has waited too
    long, for which the room is kept (`match` alone changes it)."""

    nonce: str
    owner: str | None
    partition: str | None
    account: str | None
    qos: str | None
    millicores: int
    memory: int
    gpu: GpuOffer | None
    gpus: int
    node: str
    ports: dict[int, str]
    runtimes: frozenset[str]
    ends_at: float | None
    pods: dict[str, Taken] = field(default_factory=dict, init=False)
    default_need: float | None = None
    kept: Kept | None = None
    used: dict[str, Use] = field(default_factory=dict, init=False)
    """By owner, where the room is not one owner's."""
    free_millicores: int = field(init=False)
    free_memory: int = field(init=False)
    free_gpus: int = field(init=False)

    def __post_init__(self) -> None:
        self.free_millicores, self.free_memory, self.free_gpus = self.millicores, self.memory, self.gpus

    @property
    def load(self) -> float:
        """How full it is, where it is fullest: 0 to 1."""
        full = 0.0
        if self.millicores:
            full = 1 - self.free_millicores / self.millicores
        if self.memory:
            full = max(full, 1 - self.free_memory / self.memory)
        if self.gpus:
            full = max(full, 1 - self.free_gpus / self.gpus)
        return min(full, 1.0)

    def take(self, uid: str, demand: Demand, at: float, owner: str = "") -> None:
        """A pod that is here already stays as it is. `owner` matters where the room has none of its own."""
        if uid in self.pods:
            return
        self.pods[uid] = Taken(demand, at, owner)
        self._change(demand, owner, 1)
        for port in demand.ports:
            self.ports[port] = uid

    def give(self, uid: str) -> None:
        """What the pod had is free. Nothing happens for a pod that is not here."""
        taken = self.pods.pop(uid, None)
        if taken is None:
            return
        self._change(taken.demand, taken.owner, -1)
        for port in taken.demand.ports:
            if self.ports.get(port) == uid:
                del self.ports[port]

    def fits(self, shape: Shape, at: float, default_need: float) -> bool:
        """Whether a pod of this shape has room now, and time enough before the room ends."""
        return self.has_space(shape.demand) and self.could_fit(shape) and self.lasts(shape.demand, at, default_need)

    def has_space(self, demand: Demand) -> bool:
        return self.has_capacity(demand) and (not demand.ports or self.ports.keys().isdisjoint(demand.ports))

    def has_capacity(self, demand: Demand) -> bool:
        return (
            demand.millicores <= self.free_millicores
            and demand.memory <= self.free_memory
            and (demand.gpu is None or demand.gpu.count <= self.free_gpus)
        )

    def could_fit(self, shape: Shape) -> bool:
        """Whether a pod of this shape would have room if nobody else were here."""
        demand = shape.demand
        return (
            (self.owner is None or self.owner == shape.owner)
            and (demand.partition is None or demand.partition == self.partition)
            and (demand.account, demand.qos) == (self.account, self.qos)  # nobody pays, or is favoured, unasked
            and shape.runtime in self.runtimes
            and demand.millicores <= self.millicores
            and demand.memory <= self.memory
            and (demand.gpu is None or self._has(demand))
        )

    def lasts(self, demand: Demand, at: float, default_need: float) -> bool:
        """Whether a pod that begins `at` has its time and its grace before the room ends."""
        return self.ends_at is None or at + self.need(demand, default_need) <= self.ends_at

    def need(self, demand: Demand, default_need: float) -> float:
        """Seconds, with grace."""
        if demand.walltime is not None:
            return demand.walltime + demand.grace
        return (default_need if self.default_need is None else min(default_need, self.default_need)) + demand.grace

    def _has(self, demand: Demand) -> bool:
        gpu = demand.gpu
        return gpu is None or (self.gpu is not None and gpu.count <= self.gpus and _suits(gpu, self.gpu))

    def _change(self, demand: Demand, owner: str, times: int) -> None:
        millicores, memory = times * demand.millicores, times * demand.memory
        gpus = times * demand.gpu.count if demand.gpu else 0
        self.free_millicores -= millicores
        self.free_memory -= memory
        self.free_gpus -= gpus
        if self.owner is None:
            use = self.used.setdefault(owner, Use())
            use.add(millicores, memory, gpus)
            if use == Use():
                del self.used[owner]
