"""Ends pods that fill the node's disk beyond their limits.

Source: Kubernetes, "Local ephemeral storage": the writable layer and the logs of a container count for it, its emptyDir
volumes for the pod, and a pod may use what its containers may use together. Words and order of the rules are the
kubelet's (its eviction manager), as is the period of 10 s; a pod whose directories take long to measure is measured
less often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ...wire.messages import ContainerOrder, PodOrder
from ..clock import Clock, Timer
from .disk import measured

if TYPE_CHECKING:
    from ..pods.container import Container
    from ..pods.pod import Pod

PERIOD = 10.0
SHARE = 0.02
"""Of the time, at most, one thread measures."""
SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")

logger = logging.getLogger(__name__)


class Layer(NamedTuple):
    """What a container has on disk: `directories` to be measured, and bytes of logs."""

    name: str
    directories: tuple[str, ...]
    logs: int


class Stored(NamedTuple):
    """A pod's directories: of its containers, and of its emptyDir volumes by name."""

    order: PodOrder
    layers: tuple[Layer, ...]
    volumes: dict[str, str]


class Evictions:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[Pod, None] = {}
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, pod: Pod) -> None:
        """Its containers are about to run; `remove` it when they have ended."""
        if limited(pod.order):
            self._pods[pod] = None
            if self._timer is None and self._task is None:
                self._timer = self._clock.call_later(PERIOD, self._begin)

    def remove(self, pod: Pod) -> None:
        self._pods.pop(pod, None)
        if not self._pods and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._examine())

    async def _examine(self) -> None:
        took = 0.0
        try:
            for pod in list(self._pods):
                stored, begun = stored_by(pod), time.monotonic()
                words = await asyncio.to_thread(_first, stored)
                took += time.monotonic() - begun
                if words and pod in self._pods:
                    pod.evict(words)
        except Exception:
            logger.exception("measuring what pods have on disk")
        finally:
            self._task = None
            if self._pods:
                self._timer = self._clock.call_later(max(PERIOD, took / SHARE), self._begin)


def stored_by(pod: Pod) -> Stored:
    """What it has now; a container that has ended keeps nothing but its logs."""
    containers = [*pod.inits, *pod.containers]
    volumes = containers[0].attempt.volumes if containers else {}
    empty = [one["name"] for one in pod.order.get("volumes", ()) if one.get("kind", "empty") == "empty"]
    return Stored(
        pod.order, tuple(map(layer_of, containers)), {name: volumes[name] for name in empty if name in volumes}
    )


def layer_of(container: Container) -> Layer:
    spec = container.instance.spec if container.instance else None
    directories = (spec.home, spec.tmp, spec.directory) if spec else ()
    return Layer(container.name, directories, sum(container.log_sizes().values()))


def _first(stored: Stored) -> str:
    return next(excesses(stored), "")


def limited(order: PodOrder) -> bool:
    containers = [*order.get("init_containers", ()), *order.get("containers", ())]
    return any(one.get("ephemeral_limit") for one in containers) or any(
        volume.get("size_limit") for volume in order.get("volumes", ()) if volume.get("kind", "empty") == "empty"
    )


def excesses(stored: Stored) -> Iterator[str]:
    """The kubelet's messages for what is above its limit, the first of which counts. Measures as it goes."""
    order, volumes = stored.order, {name: measured(path) for name, path in stored.volumes.items()}
    for volume in order.get("volumes", ()):
        limit = volume.get("size_limit")
        if limit and volumes.get(volume["name"], 0) > limit:
            yield f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{quantity(limit)}". '
    layers = {layer.name: sum(map(measured, layer.directories)) + layer.logs for layer in stored.layers}
    limit = pod_limit(order)
    in_memory = {volume["name"] for volume in order.get("volumes", ()) if volume.get("medium") == "Memory"}
    on_disk = sum(used for name, used in volumes.items() if name not in in_memory)
    if limit and sum(layers.values()) + on_disk > limit:
        yield f"Pod ephemeral local storage usage exceeds the total limit of containers {quantity(limit)}. "
    for container in [*order.get("init_containers", ()), *order.get("containers", ())]:
        limit = container.get("ephemeral_limit", 0)
        if limit and layers.get(container["name"], 0) > limit:
            yield f'Container {container["name"]} exceeded its local ephemeral storage limit "{quantity(limit)}". '


def pod_limit(order: PodOrder) -> int:
    """Bytes, by the rule for effective limits; 0 where no container has one. Sidecars run beside what comes after."""
    sidecars = most = 0
    for one in order.get("init_containers", ()):
        limit = _limit(one)
        if one.get("sidecar"):
            sidecars += limit
            most = max(most, sidecars)
        else:
            most = max(most, sidecars + limit)
    return max(most, sidecars + sum(map(_limit, order.get("containers", ()))))


def _limit(container: ContainerOrder) -> int:
    return container.get("ephemeral_limit", 0)


def quantity(amount: int) -> str:
    """Bytes as Kubernetes writes them: with the largest suffix that loses nothing."""
    power = 0
    while amount and amount % 1024 == 0 and power < len(SUFFIXES) - 1:
        amount, power = amount // 1024, power + 1
    return f"{amount}{SUFFIXES[power]}"
