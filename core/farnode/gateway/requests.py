"""What is asked of the batch system for a pod, for a standing allocation and for a pilot: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from farnode.model.allocation import AllocationRequest, GpuRequest
from farnode.model.demand import Demand
from farnode.model.offer import Offer
from farnode.scheduler.pilots import Wanted
from farnode.scheduler.placement import Placement


@dataclass(frozen=True, slots=True)
class Terms:
    """Site settings that shape a request; seconds. `environment` reaches every job script."""

    site: str
    default_walltime: float
    margin: float
    environment: Mapping[str, str]


def dedicated(
    terms: Terms, nonce: str, directory: Path, owner: str, demand: Demand, placement: Placement
) -> AllocationRequest:
    """An allocation the size of one pod, on each of its nodes. Its walltime is what the pod needs, its grace and the
    margin, but never more than the partition allows. The warning leaves the pod its grace and a quarter of the margin;
    the rest is for the runner's start and for batch systems that warn up to a minute early."""
    offer = placement.offer
    walltime = math.ceil((demand.walltime or terms.default_walltime) + demand.grace + terms.margin)
    cores = math.ceil(demand.millicores / 1000)
    return AllocationRequest(
        nonce=nonce,
        cores=cores,
        memory=demand.memory,
        directory=str(directory),
        gpu=placement.gpu,
        walltime=min(walltime, offer.max_walltime or walltime),
        nodes=demand.nodes,
        partition=offer.partition,
        account=placement.account,
        qos=placement.qos,
        comment=f"farnode site={terms.site} owner={owner}",
        warning=math.ceil(min(demand.grace, 300) + terms.margin / 4),
        environment=_environment(terms, directory, cores, demand.memory),
    )


def standing(terms: Terms, nonce: str, directory: Path, owner: str | None, offer: Offer) -> AllocationRequest:
    """A whole node of an offer that is kept for all pods."""
    gpu = offer.gpus[0] if offer.gpus else None
    return AllocationRequest(
        nonce=nonce,
        cores=offer.cores,
        memory=offer.memory,
        directory=str(directory),
        gpu=GpuRequest(gpu.vendor, gpu.model, gpu.count) if gpu else None,
        walltime=offer.max_walltime,
        partition=offer.partition,
        comment=f"farnode site={terms.site} owner={owner or 'shared'}",
        environment=_environment(terms, directory, offer.cores, offer.memory),
    )


def pilot(terms: Terms, nonce: str, directory: Path, wanted: Wanted, offer: Offer) -> AllocationRequest:
    """One of the pilots that are wanted."""
    pool, size = wanted.pool, wanted.size
    walltime = math.ceil(wanted.walltime + terms.margin)
    cores = math.ceil(size.millicores / 1000)
    return AllocationRequest(
        nonce=nonce,
        cores=cores,
        memory=size.memory,
        directory=str(directory),
        gpu=GpuRequest(*pool.gpu, size.gpus) if pool.gpu else None,
        walltime=min(walltime, offer.max_walltime or walltime),
        partition=offer.partition,
        account=pool.account,
        qos=pool.qos,
        comment=f"farnode site={terms.site} owner={pool.owner or 'shared'}",
        warning=math.ceil(terms.margin / 2),
        environment=_environment(terms, directory, cores, size.memory),
    )


def _environment(terms: Terms, directory: Path, cores: int, memory: int) -> dict[str, str]:
    """Memory that was not asked for is what the batch system gives."""
    size = {"FARNODE_CORES": str(cores), **({"FARNODE_MEMORY": str(memory)} if memory else {})}
    return {"FARNODE_ALLOCATION": str(directory), **size, **terms.environment}
