"""v1.PodStatus.qosClass. Source: Kubernetes, "Pod Quality of Service Classes"."""

from __future__ import annotations

from farnode.model.pod import Pod
from farnode.model.resources import CPU, MEMORY, Resources


def qos_class(pod: Pod) -> str:
    """Of what the pod asks for as a whole; where it does not, of what all its containers do, init containers too."""
    whole = pod.resources
    asked = [whole] if whole.requests else [one.resources for one in pod.all_containers]
    if all(map(_is_guaranteed, asked)):
        return "Guaranteed"
    return "Burstable" if any(map(_asks, asked)) else "BestEffort"


def _is_guaranteed(resources: Resources) -> bool:
    """Whether there are limits of both and requests that equal them; zero is none."""
    requests, limits = resources.requests, resources.limits
    return all(name in limits and limits[name].nanos > 0 and requests[name] == limits[name] for name in (CPU, MEMORY))


def _asks(resources: Resources) -> bool:
    amounts = (resources.requests, resources.limits)
    return any(name in given and given[name].nanos > 0 for given in amounts for name in (CPU, MEMORY))
