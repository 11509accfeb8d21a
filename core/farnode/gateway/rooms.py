"""What each runner has and what of it is free, kept in step with the records: no decision counts it anew."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence

from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.model.allocation import AllocationRequest
from farnode.model.annotations import RUNTIMES
from farnode.model.demand import Demand
from farnode.model.offer import GpuOffer, Offer
from farnode.scheduler.pilots import Pilot, Pool, Size
from farnode.scheduler.room import Room

LATELY = 10.0
"""Seconds."""
RETURN = 30.0
"""Seconds from a runner's last word within which it is expected back, after a gateway's restart or a broken link."""


class Rooms:
    """`default_need`: seconds that a pod is taken to run which does not say it."""

    def __init__(self, machine: Machine, default_need: float) -> None:
        self.live: dict[str, None] = {}
        """Nonces of allocations that have not ended."""
        self._machine = machine
        self._default_need = default_need
        self._rooms: dict[str, Room] = {}
        self._idle: dict[str, float] = {}
        self._where: dict[str, str] = {}
        self._ports: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._held: dict[str, dict[int, str]] = {}
        """The ports of its node, for each pod that has any of them."""
        self._rates: defaultdict[Pool, Rate] = defaultdict(Rate)
        self._offers: Sequence[Offer] = ()

    def know(self, offers: Sequence[Offer]) -> None:
        """What GPUs are beyond their names is told by the offers."""
        self._offers = offers
        for nonce, room in self._rooms.items():
            room.gpu = self._gpu(self._machine.allocations[nonce])

    def follow(self, pods: Collection[str], allocations: Collection[str], at: float) -> set[str]:
        """Catch up with records that changed; the nonces of the pilots concerned."""
        touched = set()
        for nonce in allocations:
            touched |= self._follow_allocation(nonce, at)
        for uid in pods:
            touched |= self._follow_pod(uid, at)
        return touched

    def _follow_allocation(self, nonce: str, at: float) -> set[str]:
        record = self._machine.allocations.get(nonce)
        if record is None or record.life is Life.ENDED:
            self.live.pop(nonce, None)
            self._rooms.pop(nonce, None)
            self._idle.pop(nonce, None)
        else:
            self.live.setdefault(nonce)
            if record.pod is None and record.life is Life.RUNNING and nonce not in self._rooms:
                self._rooms[nonce] = self._room(record)
                self._idle[nonce] = at
        return {nonce}

    def _follow_pod(self, uid: str, at: float) -> set[str]:
        pod, old = self._machine.pods.get(uid), self._where.get(uid)
        new = pod.nonce if pod is not None and pod.stage is Stage.BOUND else None
        if new == old:
            return set()
        if old is not None:
            self._leave(uid, old, at)
        if pod is not None and new is not None:
            self._enter(pod, new, at)
        return {nonce for nonce in (old, new) if nonce is not None}

    def matched(self, uid: str, nonce: str, at: float) -> None:
        """The scheduler has put a pod into a room; the machine may have thought otherwise."""
        self._where[uid] = nonce
        self._idle.pop(nonce, None)
        self._hold(uid, self._machine.demands[uid], self._rooms[nonce].ports)
        self._follow_pod(uid, at)

    def _enter(self, pod: PodRecord, nonce: str, at: float) -> None:
        self._where[pod.uid] = nonce
        demand, room = self._machine.demands[pod.uid], self._rooms.get(nonce)
        if room is not None:
            room.take(pod.uid, demand, at, pod.owner)
            self._idle.pop(nonce, None)
            self._hold(pod.uid, demand, room.ports)
        elif (record := self._machine.allocations.get(nonce)) is not None:
            ports = self._ports[_node(record)]
            ports.update(dict.fromkeys(demand.ports, pod.uid))
            self._hold(pod.uid, demand, ports)

    def _hold(self, uid: str, demand: Demand, ports: dict[int, str]) -> None:
        if demand.ports:
            self._held[uid] = ports

    def _leave(self, uid: str, nonce: str, at: float) -> None:
        del self._where[uid]
        room = self._rooms.get(nonce)
        record = self._machine.allocations.get(nonce)
        if room is not None and record is not None:
            room.give(uid)
            self._rates[pool_of(record.request, record.offer, record.owner)].count(at)
            if not room.pods:
                self._idle[nonce] = at
        ports = self._held.pop(uid, {})
        for port in [port for port, user in ports.items() if user == uid]:
            del ports[port]

    def _room(self, record: AllocationRecord) -> Room:
        request, capacity = record.request, record.capacity
        return Room(
            nonce=record.nonce,
            owner=record.owner,
            partition=request.partition,
            account=request.account,
            qos=request.qos,
            millicores=request.cores * 1000,
            memory=request.memory,
            gpu=self._gpu(record),
            gpus=len(capacity.get("gpus", ())),
            node=_node(record),
            ports=self._ports[_node(record)],
            runtimes=frozenset(capacity.get("runtimes", RUNTIMES)),  # runners of before did not tell
            ends_at=record.ends_at,
            default_need=self._least(record),
        )

    def _least(self, record: AllocationRecord) -> float:
        """Seconds a pod needs that does not say it: where all of an allocation is short, half of it."""
        if record.ends_at is None or record.started is None:
            return self._default_need
        return min(self._default_need, (record.ends_at - record.started) / 2)

    def _gpu(self, record: AllocationRecord) -> GpuOffer | None:
        asked = record.request.gpu
        offer = next((offer for offer in self._offers if offer.name == record.offer), None)
        if asked is None or offer is None:
            return None
        if not asked.model:
            return GpuOffer(asked.vendor, "", sum(gpu.count for gpu in offer.gpus))
        return next((gpu for gpu in offer.gpus if (gpu.vendor, gpu.model) == (asked.vendor, asked.model)), None)

    @property
    def somebody_queues(self) -> bool:
        """Whether a pod waits for an allocation of its own to begin."""
        records = (self._machine.allocations[nonce] for nonce in self.live)
        return any(record.pod is not None and record.life is not Life.RUNNING for record in records)

    # ---- what can be had of it -----------------------------------------------------------------------------------

    def open(self, connected: Callable[[str], bool]) -> list[Room]:
        """Those that take pods now."""
        return [room for nonce, room in self._rooms.items() if self._is_open(nonce) and connected(nonce)]

    def _is_open(self, nonce: str) -> bool:
        record = self._machine.allocations[nonce]
        return not (record.draining or record.cancelled or record.cause or record.given_up is not None)

    def rate(self, pool: Pool, at: float) -> float:
        """Pods that leave its pilots per second, of late."""
        return self._rates[pool].now(at)

    def load(self, nonce: str) -> float | None:
        """How much of a pilot that runs is in use, from 0 to 1."""
        room = self._rooms.get(nonce)
        return None if room is None else room.load

    def pilots(self, connected: Callable[[str], bool], at: float) -> Iterator[tuple[Pilot, AllocationRecord]]:
        """Those that take pods, or will when they have begun."""
        for nonce in self.live:
            record = self._machine.allocations[nonce]
            if record.pod is None and self._is_open(nonce):
                away = not connected(nonce) and at - (record.heard or at) < RETURN
                yield self._pilot(record, away), record

    @property
    def leaving(self) -> int:
        """How many there are beside those, which have not ended."""
        records = ((nonce, self._machine.allocations[nonce]) for nonce in self.live)
        return sum(record.pod is None and not self._is_open(nonce) for nonce, record in records)

    def _pilot(self, record: AllocationRecord, away: bool) -> Pilot:
        room, pool = self._rooms.get(record.nonce), pool_of(record.request, record.offer, record.owner)
        request = record.request
        if room is None:
            size = Size(request.cores * 1000, request.memory, request.gpu.count if request.gpu else 0)
            return Pilot(record.nonce, pool, size, begun=False)
        size = Size(room.millicores, room.memory, room.gpus)
        free = Size(room.free_millicores, room.free_memory, room.free_gpus)
        return Pilot(
            record.nonce,
            pool,
            size,
            begun=True,
            used=size.plus(free.times(-1)),
            idle_since=self._idle.get(record.nonce),
            since=record.started,
            ends_at=record.ends_at,
            least=self._least(record),
            away=away,
        )


class Rate:
    """Events per second, the older the less they count."""

    def __init__(self) -> None:
        self._value = 0.0
        self._at = 0.0

    def count(self, at: float) -> None:
        self._value, self._at = self.now(at) + 1 / LATELY, at

    def now(self, at: float) -> float:
        return self._value * math.exp(min(0.0, self._at - at) / LATELY)


def pool_of(request: AllocationRequest, offer: str, owner: str | None) -> Pool:
    gpu = (request.gpu.vendor, request.gpu.model) if request.gpu else None
    return Pool(offer, owner, request.account, request.qos, gpu)


def _node(record: AllocationRecord) -> str:
    """The first label of its name: batch systems and hosts differ about the rest."""
    return record.nodes[0].partition(".")[0] if record.nodes else record.nonce
