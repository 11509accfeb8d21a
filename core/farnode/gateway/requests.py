"""What is asked of the batch system for a pod, or for a standing allocation: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from farnode.model.allocation import AllocationRequest, GpuRequest
from farnode.model.demand import Demand
from farnode.model.offer import Offer
from farnode.scheduler.placement import Placement


@dataclass(frozen=True, slots=True)
class Terms:
    """Site settings that shape a request; seconds. `environment` reaches every job script."""

    site: str
    default_walltime: float
    margin: float
    environment: Mapping[str, str]


def dedicated(
    terms: Terms, nonce: str, directory: Path, owner: str, demand: Demand, grace: float, placement: Placement
) -> AllocationRequest:
    """An allocation the size of one pod. Its walltime is what the pod needs, its grace and the margin, but never more
    than the partition allows. The warning leaves the pod its grace and a quarter of the margin; the rest is for the
    runner's start and for batch systems that warn up to a minute early."""
    offer = placement.offer
    walltime = math.ceil((demand.walltime or terms.default_walltime) + grace + terms.margin)
    cores = math.ceil(demand.millicores / 1000)
    return AllocationRequest(
        nonce=nonce,
        cores=cores,
        memory=demand.memory,
        directory=str(directory),
        gpu=placement.gpu,
        walltime=min(walltime, offer.max_walltime or walltime),
        partition=offer.partition,
        account=placement.account,
        qos=placement.qos,
        comment=f"farnode site={terms.site} owner={owner}",
        warning=math.ceil(min(grace, 300) + terms.margin / 4),
        environment=_environment(terms, directory, cores, demand.memory),
    )


def standing(terms: Terms, nonce: str, directory: Path, owner: str | None, offer: Offer) -> AllocationRequest:
    """A whole node of an offer, for many pods."""
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


def _environment(terms: Terms, directory: Path, cores: int, memory: int) -> dict[str, str]:
    size = {"FARNODE_CORES": str(cores), "FARNODE_MEMORY": str(memory)}
    return {"FARNODE_ALLOCATION": str(directory), **size, **terms.environment}
