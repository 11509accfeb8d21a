"""What the containers of a pod need together, and what the pod asks for as a whole.

Source: Kubernetes, "Sidecar Containers", "Resource sharing within containers", and "Pod-level resource specification":
a plain init container runs beside the sidecars started before it; what the pod itself asks for goes before the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from farnode.errors import Invalid
from farnode.model.container import Container
from farnode.model.quantity import Quantity
from farnode.model.reader import Reader
from farnode.model.resources import CPU, MEMORY, Resources, read_amounts

POD_RESOURCES = (CPU, MEMORY)


def effective(
    init_containers: Sequence[Container], containers: Sequence[Container], amount: Callable[[Container], int]
) -> int:
    """The most that is needed at any moment of the pod's life."""
    sidecars = most = 0
    for container in init_containers:
        most = max(most, sidecars + amount(container))
        if container.sidecar:
            sidecars += amount(container)
    return max(most, sidecars + sum(map(amount, containers)))


def requested(init_containers: Sequence[Container], containers: Sequence[Container], resource: str) -> Quantity | None:
    """What all containers ask for of one of Kubernetes' own resources; None where none of them does."""
    given = [
        one.resources.requests[resource]
        for one in (*init_containers, *containers)
        if resource in one.resources.requests
    ]
    if not given:
        return None

    def amount(container: Container) -> int:
        found = container.resources.requests.get(resource)
        return found.nanos if found else 0

    return Quantity(effective(init_containers, containers, amount), given[0].form)


def read_pod_resources(
    reader: Reader, init_containers: Sequence[Container], containers: Sequence[Container]
) -> Resources:
    """`spec.resources`, its requests filled in: by what the containers ask for, else by its limits."""
    limits, requests = (read_amounts(reader.at(side)) for side in ("limits", "requests"))
    for name in (*limits, *requests):
        if name not in POD_RESOURCES:
            raise reader.invalid(f"{name} cannot be given to a pod as a whole; give it to a container")
    for name, limit in limits.items():
        _check_limits(name, limit, containers)
    wanted = {name: requested(init_containers, containers, name) for name in (*limits, *requests)}
    filled = {name: requests.get(name) or total or limits[name] for name, total in wanted.items()}
    for name, asked in filled.items():
        total, limit = wanted[name] or asked, limits.get(name, asked)
        if total > asked:
            raise Invalid(f"{reader.path}.requests[{name}]", f"{asked} is less than its containers ask for, {total}")
        if asked > limit:
            raise Invalid(f"{reader.path}.limits[{name}]", f"{limit} is less than what is asked for, {asked}")
    return Resources(filled, limits)


def _check_limits(name: str, limit: Quantity, containers: Sequence[Container]) -> None:
    for index, container in enumerate(containers):
        own = container.resources.limits.get(name)
        if own and own > limit:
            raise Invalid(
                f"spec.containers[{index}].resources.limits[{name}]",
                f"{own} is more than the limit of the pod, {limit}",
            )
