"""How the containers of a pod share its GPUs.

Source: Kubernetes, "Sidecar Containers" (Resource sharing within containers): a sidecar keeps its devices as long as
the pod lives; each other init container has its own only while it runs, out of the rest; the regular containers share
what the sidecars leave.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...wire.messages import ContainerOrder, PodOrder


def gpus_needed(order: PodOrder) -> int:
    kept, most = 0, order.get("gpus", 0)
    for init in order.get("init_containers", ()):
        most = max(most, kept + _count(init))
        kept += _count(init) if init.get("sidecar") else 0
    return max(most, kept + sum(map(_count, order.get("containers", ()))))


def shared(order: PodOrder, gpus: Sequence[str]) -> dict[str, list[str]]:
    """Devices by container name."""
    free, shares = list(gpus), {}
    for init in order.get("init_containers", ()):
        shares[init["name"]] = free[: _count(init)]
        if init.get("sidecar"):
            del free[: _count(init)]
    for container in order.get("containers", ()):
        shares[container["name"]] = free[: _count(container)]
        del free[: _count(container)]
    return shares


def _count(container: ContainerOrder) -> int:
    return container.get("gpus", 0)
