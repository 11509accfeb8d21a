"""Gangs: which waiting pods can start together, what is asked for them, and what they are told of each other. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, PodRecord
from farnode.model.allocation import AllocationRequest
from farnode.model.demand import Demand, Gang
from farnode.model.peers import Peers


@dataclass(frozen=True, slots=True)
class Gathering:
    """Members of one gang that wait, by rank: the order of their names, numbers in them as numbers. `demand` is what
    each node of their job must have, and the nodes: of everything the most that one of them needs. `words`: why it
    cannot be asked for; "" when it can."""

    owner: str
    uids: tuple[str, ...]
    demand: Demand
    words: str = ""


@dataclass(slots=True)
class _Group:
    """Those that came first, of each name one: two gangs of one name are two gangs. `size`: how many start together."""

    gang: Gang
    owner: str
    size: int
    members: dict[str, str] = field(default_factory=dict)
    """Uids by name."""


def gatherings(machine: Machine, uids: Iterable[str], default_walltime: float) -> list[Gathering]:
    """Of pods that are members of a gang and could start now: complete gangs first, in the order they became so.
    `default_walltime` (seconds) is that of pods which name none."""
    return [_gathering(machine, group, default_walltime) for group in _groups(machine, uids)]


def seats(request: AllocationRequest, directory: Callable[[str], Path], count: int) -> list[AllocationRequest]:
    """A request for each node of one job, by rank, out of what is asked of each. The script is told of the directory
    of them all, and finds each node's beside it."""
    nonces = [f"{request.nonce}-{rank}" for rank in range(count)]
    return [
        replace(request, nonce=nonce, directory=str(directory(nonce)), nodes=count, together=True) for nonce in nonces
    ]


def peers(machine: Machine, pod: PodRecord) -> Peers | None:
    """What a pod that has begun with its gang is told of the others."""
    own = machine.allocations.get(pod.nonce or "")
    if own is None or not own.request.together:
        return None
    records = [machine.allocations.get(f"{own.request.base}-{rank}") for rank in range(own.request.nodes)]
    return Peers(
        own.request.index or 0,
        tuple(record.nodes[0] if record and record.nodes else "" for record in records),
        tuple(str(record.capacity.get("address", "")) if record else "" for record in records),
        tuple(_hostname(machine, record) for record in records),
    )


def _hostname(machine: Machine, record: AllocationRecord | None) -> str:
    bundle = machine.bundles.get(record.pod or "") if record else None
    return bundle.pod.hostname if bundle else ""


def _groups(machine: Machine, uids: Iterable[str]) -> Iterator[_Group]:
    open_groups: dict[tuple[str, str, str, str, int], _Group] = {}
    named: Counter[tuple[str, str, str, str, str]] = Counter()
    for uid in uids:
        pod, gang, name = machine.pods[uid], machine.demands[uid].gang, machine.bundles[uid].pod.name
        assert gang is not None, "only members of gangs are asked about"
        which = (pod.owner, gang.namespace, gang.name, pod.gang)
        key = (*which, named[*which, name])
        named[*which, name] += 1
        group = open_groups.get(key)
        if group is None:
            group = open_groups[key] = _Group(gang, pod.owner, machine.gang_size(pod))
        group.members[name] = uid
        if len(group.members) == group.size:
            yield open_groups.pop(key)
    yield from open_groups.values()


def _gathering(machine: Machine, group: _Group, default_walltime: float) -> Gathering:
    uids = tuple(group.members[name] for name in sorted(group.members, key=natural))
    demands = [machine.demands[uid] for uid in uids]
    demand = replace(_largest(demands, default_walltime), nodes=group.size)
    return Gathering(group.owner, uids, demand, _missing(group) or _quarrel(group.gang.name, demands))


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts `worker-10` behind `worker-9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _missing(group: _Group) -> str:
    here = len(group.members)
    if here == group.size:
        return ""
    return f"waiting for the other members of gang {group.gang.name}: {here} of {group.size} are here"


def _quarrel(name: str, demands: Sequence[Demand]) -> str:
    """What members say differently that holds for all of them: a job has one of each."""
    said: tuple[tuple[str, Collection[object]], ...] = (
        ("gang-size", {demand.gang.size for demand in demands if demand.gang}),
        ("gang-failure", {demand.gang.failure for demand in demands if demand.gang}),
        ("partition", {demand.partition for demand in demands}),
        ("account", {demand.account for demand in demands}),
        ("qos", {demand.qos for demand in demands}),
        ("nodeSelector", {demand.node_selector for demand in demands}),
        ("kind of GPU", {replace(demand.gpu, count=0) for demand in demands if demand.gpu}),
    )
    differing = [what for what, values in said if len(values) > 1]
    return f"the members of gang {name} do not agree about their {', '.join(differing)}" if differing else ""


def _largest(demands: Sequence[Demand], default_walltime: float) -> Demand:
    gpus = [demand.gpu for demand in demands if demand.gpu]
    walltimes = [demand.walltime or math.ceil(default_walltime) for demand in demands]
    return replace(
        demands[0],
        millicores=max(demand.millicores for demand in demands),
        memory=max(demand.memory for demand in demands),
        gpu=max(gpus, key=lambda gpu: gpu.count) if gpus else None,
        walltime=max(walltimes) if any(demand.walltime for demand in demands) else None,
        priority=max(demand.priority for demand in demands),
        grace=max(demand.grace for demand in demands),
        ports=(),
    )
