"""Which offer of a site fits a pod, and what to ask the batch system for.

The first reason why an offer does not fit is kept in words, so that a pod that fits nowhere says what it lacks in each
place instead of waiting for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farnode.model.allocation import GpuRequest
from farnode.model.demand import Demand
from farnode.model.gpu import fits
from farnode.model.offer import GpuOffer, Offer


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a pod goes. `gpu` is what is asked of the batch system; all names equal entries of the inventory."""

    offer: Offer
    gpu: GpuRequest | None
    account: str | None
    qos: str | None


@dataclass(frozen=True, slots=True)
class Unfit:
    """No offer fits; `words` say why, offer by offer."""

    words: str


def place(demand: Demand, offers: Sequence[Offer]) -> Placement | Unfit:
    """The best offer: a partition without a problem before one with, the default one before others, and among equals
    the one that wastes the fewest GPUs, then cores."""
    if not offers:
        return Unfit("the site offers nothing to this account now")
    reasons: list[str] = []
    fitting: list[Placement] = []
    for offer in offers:
        placement = _try(demand, offer)
        if isinstance(placement, Placement):
            fitting.append(placement)
        else:
            reasons.append(f"{offer.name}: {placement}")
    large = [placement for placement in fitting if _nodes(placement, fitting) >= demand.nodes]
    if not large:
        return Unfit("; ".join([*reasons, *_too_small(demand, fitting)]))
    return _of_any_type(demand, min(large, key=_cost), offers)


def _of_any_type(demand: Demand, best: Placement, offers: Sequence[Offer]) -> Placement:
    """Whoever does not mind gets GPUs of whatever type its partition has, of all its nodes."""
    gpu = demand.gpu
    if best.gpu is None or gpu is None or gpu.model is not None or gpu.memory is not None:
        return best
    there = [each for offer in offers if offer.partition == best.offer.partition for each in offer.gpus]
    if len({each.model for each in there}) == 1 or not all(fits(replace(gpu, count=1), each) for each in there):
        return best
    return replace(best, gpu=replace(best.gpu, model=""))


def _nodes(placement: Placement, fitting: Sequence[Placement]) -> int:
    """Of its partition, of every kind that fits: the nodes of one job need not be alike."""
    partition, gpu = placement.offer.partition, placement.gpu
    return sum(one.offer.nodes for one in fitting if one.offer.partition == partition and one.gpu == gpu)


def _too_small(demand: Demand, fitting: Sequence[Placement]) -> Sequence[str]:
    places: dict[str, int] = {}
    for one in fitting:
        name = one.offer.partition or one.offer.name
        places[name] = max(places.get(name, 0), _nodes(one, fitting))
    return [f"{name}: needs {demand.nodes} nodes in one job, has {count} that fit" for name, count in places.items()]


def _cost(placement: Placement) -> tuple[bool, int, bool, int]:
    offer = placement.offer
    wasted = sum(gpu.count for gpu in offer.gpus) if placement.gpu is None else 0
    return (offer.problem is not None, wasted, not offer.default, offer.cores)


def _try(demand: Demand, offer: Offer) -> Placement | str:
    gpu = _gpu(demand, offer)
    if isinstance(gpu, str):
        return gpu
    problem = _names(demand, offer) or _size(demand, offer)
    if problem:
        return problem
    request = None
    if demand.gpu and gpu:
        request = GpuRequest(gpu.vendor, gpu.model, demand.gpu.count)
    return Placement(offer, request, demand.account or _first(offer.accounts), demand.qos)


def _first(names: tuple[str, ...]) -> str | None:
    return names[0] if names else None


def _gpu(demand: Demand, offer: Offer) -> GpuOffer | str | None:
    if demand.gpu is None:
        return None
    candidates = [gpu for gpu in offer.gpus if fits(demand.gpu, gpu)]
    if not candidates:
        have = ", ".join(f"{gpu.count} x {gpu.model or gpu.vendor}" for gpu in offer.gpus) or "no GPUs"
        return f"needs {demand.gpu.count} x {demand.gpu.model or demand.gpu.resource} on one node, a node has {have}"
    return min(candidates, key=lambda gpu: gpu.count)


def _names(demand: Demand, offer: Offer) -> str | None:
    if demand.partition and demand.partition != offer.partition:
        return f"is not partition {demand.partition}"
    if demand.account and offer.accounts and demand.account not in offer.accounts:
        return f"account {demand.account} is not one of {', '.join(offer.accounts)}"
    if demand.account and not offer.accounts:
        return f"accounts are not used here, so account {demand.account} cannot be honoured"
    if demand.qos and demand.qos not in offer.qos:
        return f"qos {demand.qos} is not one of {', '.join(offer.qos) or 'none'}"
    return None


def _size(demand: Demand, offer: Offer) -> str | None:
    if demand.millicores > offer.cores * 1000:
        return f"needs {demand.millicores / 1000:g} cores, a node has {offer.cores}"
    if demand.memory > offer.memory:
        return f"needs {demand.memory >> 20} MiB of memory, a node has {offer.memory >> 20} MiB"
    if demand.walltime and offer.max_walltime and demand.walltime > offer.max_walltime:
        return f"needs {demand.walltime} s of walltime, the limit is {offer.max_walltime} s"
    return None
