"""What this account can get: one offer for each kind of node in each partition it may use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from farnode.model.allocation import AllocationRequest, Refused
from farnode.model.offer import GpuOffer, Offer
from farnode.providers.slurm.accounting import Accounting
from farnode.providers.slurm.cluster import Node, Partition
from farnode.providers.slurm.gres import gpus
from farnode.providers.slurm.settings import SlurmSettings

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Kind:
    """Nodes that are alike to a job."""

    cores: int
    memory: int
    gpus: tuple[GpuOffer, ...]

    @property
    def label(self) -> str:
        return "-".join(f"{gpu.model or 'gpu'}x{gpu.count}" for gpu in self.gpus)


def offers(
    partitions: Iterable[Partition], nodes: Collection[Node], accounting: Accounting, settings: SlurmSettings
) -> list[Offer]:
    return [offer for partition in partitions for offer in _partition(partition, nodes, accounting, settings)]


def _partition(
    partition: Partition, nodes: Collection[Node], accounting: Accounting, settings: SlurmSettings
) -> Iterator[Offer]:
    if settings.partitions and partition.name not in settings.partitions:
        return
    accounts = accounting.usable(partition, settings.account)
    if accounting.associations and not accounts.names:
        return
    qos = accounts.qos(settings.qos) or ((settings.qos,) if settings.qos else ())
    submit, wall = accounts.limits(qos[0] if qos else None)
    kinds = _kinds(partition, nodes, settings)
    for name, (kind, members) in _named(partition.name, kinds).items():
        usable = sum(node.usable for node in members)
        yield Offer(
            name=name,
            cores=kind.cores,
            memory=kind.memory,
            nodes=usable or len(members),
            partition=partition.name,
            default=partition.default,
            gpus=kind.gpus,
            max_walltime=min((limit for limit in (partition.max_time, wall) if limit is not None), default=None),
            accounts=accounts.names or ((settings.account,) if settings.account else ()),
            qos=qos,
            max_submit=submit,
            problem=partition.problem or (None if usable else "all its nodes are down or drained"),
        )


def _kinds(partition: Partition, nodes: Iterable[Node], settings: SlurmSettings) -> dict[Kind, list[Node]]:
    kinds: dict[Kind, list[Node]] = {}
    for node in nodes:
        if partition.name in node.partitions:
            cores = min(node.cores, partition.cores or node.cores)
            memory = min(node.memory, partition.memory or node.memory)
            kinds.setdefault(Kind(cores, memory, gpus(node.gres, settings)), []).append(node)
    return kinds


def _named(partition: str, kinds: dict[Kind, list[Node]]) -> dict[str, tuple[Kind, list[Node]]]:
    """A name depends on no more than it must, so that it stays when other kinds of node come and go."""
    named: dict[str, tuple[Kind, list[Node]]] = {}
    for kind, members in kinds.items():
        name = f"{partition}.{kind.label}" if kind.label else partition
        alike = [other for other in kinds if other.label == kind.label]
        if len(alike) > 1:
            name += f".{kind.cores}c-{kind.memory // GIB}g"
        if name in named:
            name += f"-{members[0].name}"
        named[name] = (kind, members)
    return named


def mismatch(request: AllocationRequest, offered: Collection[Offer]) -> Refused | None:
    """Why a request may not go to sbatch: it names what the inventory does not."""
    partitions = _unique(offer.partition or "" for offer in offered)
    if request.partition is not None and request.partition not in partitions:
        return _refused("partition", request.partition, partitions)
    there = [offer for offer in offered if request.partition in (None, offer.partition)]
    for field, named, known in (
        ("account", request.account, _unique(name for offer in there for name in offer.accounts)),
        ("QOS", request.qos, _unique(name for offer in there for name in offer.qos)),
    ):
        if named is not None and named not in known:
            return _refused(field, named, known)
    return None


def _refused(field: str, named: str, known: Collection[str]) -> Refused:
    choice = f"there are {', '.join(known)}" if known else "there is none to name"
    return Refused(f"this account cannot use the {field} {named[:80]!r} here: {choice}")


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
