"""GPUs: their resource names, what a pod asks of them, and what it needs in all.

One table of names. A pod asks for devices of one kind, by limits of its containers; annotations narrow the type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from farnode.errors import Invalid
from farnode.model.container import Container
from farnode.model.demand import Demand, Gang, GpuDemand
from farnode.model.effective import effective, requested
from farnode.model.offer import GpuOffer
from farnode.model.pod import Pod, containers_with_paths
from farnode.model.quantity import Quantity
from farnode.model.resources import CPU, MEMORY

DEFAULT_MILLICORES = 1000
"""Of a pod that says nothing about cpu: one core, the least a batch system gives."""


@dataclass(frozen=True, slots=True)
class GpuResource:
    """`pattern` matches the part of the resource name after `vendor/`."""

    vendor: str
    pattern: str
    meaning: str
    example: str


TABLE = (
    GpuResource("nvidia.com", "gpu", "whole NVIDIA GPUs", "nvidia.com/gpu"),
    GpuResource(
        "nvidia.com",
        r"mig-(\d+c\.)?\d+g\.\d+gb(\.me(\.all)?)?",
        "MIG instances of that profile",
        "nvidia.com/mig-1g.10gb",
    ),
    GpuResource("amd.com", "gpu", "whole AMD GPUs", "amd.com/gpu"),
    GpuResource("gpu.intel.com", "[a-z0-9][a-z0-9_.-]*", "whole Intel GPUs", "gpu.intel.com/xe"),
)


def is_gpu(resource: str) -> bool:
    vendor, _, name = resource.partition("/")
    return any(vendor == row.vendor and re.fullmatch(row.pattern, name) for row in TABLE)


def mig_profile(resource: str) -> str | None:
    """`1g.10gb` of `nvidia.com/mig-1g.10gb`; None of whole devices."""
    _, mig, profile = resource.partition("/mig-")
    return profile if mig else None


def gpus_of(container: Container) -> int:
    """How many devices (or MIG instances) of the pod's kind this container gets."""
    return sum(count for name, count in container.resources.extended.items() if is_gpu(name))


def gpu_demand(pod: Pod) -> GpuDemand | None:
    """Invalid where two kinds are asked for, where a resource is no GPU, and where annotations narrow nothing."""
    resource = _only_resource(pod)
    settings = pod.settings
    if resource is None:
        _check_narrowing(pod)
        return None
    count = effective(pod.init_containers, pod.containers, gpus_of)
    return GpuDemand(resource, count, settings.gpu_model, settings.gpu_memory)


def demand(pod: Pod) -> Demand:
    """What the pod needs of a site.

    A pod that says nothing about cpu needs one core; memory 0 means the site's default. `walltime` is the annotation,
    else activeDeadlineSeconds, else the site's default (None).
    """
    settings = pod.settings
    return Demand(
        millicores=_requested(pod, CPU).millicores or DEFAULT_MILLICORES,
        memory=_requested(pod, MEMORY).whole,
        gpu=gpu_demand(pod),
        walltime=settings.walltime or pod.deadline,
        partition=settings.partition,
        account=settings.account,
        qos=settings.qos,
        runtime=settings.runtime,
        queue_timeout=settings.queue_timeout,
        node_selector=tuple(sorted(pod.node_selector.items())),
        ports=_ports(pod),
        priority=pod.priority,
        grace=float(pod.grace),
        dedicated=settings.dedicated,
        nodes=settings.nodes or 1,
        gang=_gang(pod),
    )


def fits(gpu: GpuDemand, offer: GpuOffer) -> bool:
    """Whether one node of the offer has these devices: vendor, MIG profile, count, type and memory per device.

    A type fits when it is the site's name, or when all its words are among those of the site's name: `a100` fits
    `nvidia_a100-sxm4-80gb`. Memory that the site does not tell is not assumed.
    """
    return (
        gpu.resource.partition("/")[0] == offer.vendor
        and mig_profile(gpu.resource) == offer.mig
        and gpu.count <= offer.count
        and (gpu.model is None or _words(gpu.model) <= _words(offer.model))
        and (gpu.memory is None or gpu.memory <= (offer.memory or 0))
    )


def _words(model: str) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9.]+", model.lower()) if word}


def _only_resource(pod: Pod) -> str | None:
    found: str | None = None
    for path, container in containers_with_paths(pod):
        for name in container.resources.extended:
            place = f"{path}.resources.limits[{name}]"
            if not is_gpu(name):
                known = ", ".join(row.example for row in TABLE)
                raise Invalid(place, f"is not a resource sites have; GPUs are asked for as {known}")
            if found not in (None, name):
                raise Invalid(place, f"a pod can ask for one kind of GPU, and this one already asks for {found}")
            found = name
    return found


def _check_narrowing(pod: Pod) -> None:
    for name, value in (("gpu-model", pod.settings.gpu_model), ("gpu-memory", pod.settings.gpu_memory)):
        if value is not None:
            words = "needs a GPU in the limits of a container, such as nvidia.com/gpu: 1"
            raise Invalid(f"metadata.annotations[farnode.io/{name}]", words)


def _requested(pod: Pod, resource: str) -> Quantity:
    """What the pod itself asks for, else its containers together."""
    given = pod.resources.requests.get(resource)
    return given or requested(pod.init_containers, pod.containers, resource) or Quantity(0)


def _gang(pod: Pod) -> Gang | None:
    settings = pod.settings
    if settings.gang is None or settings.gang_size is None:
        return None
    return Gang(pod.namespace, settings.gang, settings.gang_size, settings.gang_failure or "stop")


def _ports(pod: Pod) -> tuple[int, ...]:
    return tuple(sorted({port for container in pod.all_containers for port in container.ports_named}))
