"""Streams of kind "stats": what the containers of this node use now, as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ...wire.frames import Channel
from ...wire.link import Stream
from ...wire.messages import ContainerStats, GpuStats, NodeStats, PodStats
from ..pods.attempt import Host
from ..pods.instance import Instance
from ..pods.pod import Pod
from .accelerators import Accelerators
from .disk import Sizes
from .eviction import Layer, layer_of
from .usage import Usage

if TYPE_CHECKING:
    from ..pods.container import Container


class Stats:
    def __init__(self, host: Host, environ: Mapping[str, str]) -> None:
        self._host = host
        self._sizes = Sizes(host.clock)
        self._accelerators = Accelerators(host.clock, host.children, environ)

    async def serve(self, stream: Stream, pods: Iterable[Pod]) -> None:
        document = await self.now(pods)
        await stream.send(Channel.STDOUT, json.dumps(document, separators=(",", ":")).encode())

    async def now(self, pods: Iterable[Pod]) -> NodeStats:
        """Of the containers that run; what becomes known too late is missing."""
        found = {pod: _running(pod) for pod in pods}
        running = [pair for pairs in found.values() for pair in pairs]
        gpus = await self._accelerators.now(device for _, instance in running for device in instance.spec.gpus)
        layers = {instance: layer_of(container) for container, instance in running}
        sizes = await self._sizes.now([layer.directories for layer in layers.values()])
        usages = await self._host.resources.watch.look()
        made: list[PodStats] = [
            {
                "uid": pod.order["uid"],
                "attempt": pod.order["attempt"],
                "containers": [
                    _container(instance, usages[instance], layers[instance], sizes, gpus)
                    for _, instance in pairs
                    if instance in usages
                ],
            }
            for pod, pairs in found.items()
        ]
        return {"at": self._host.clock.time(), "pods": made}


def _running(pod: Pod) -> list[tuple[Container, Instance]]:
    return [(one, one.instance) for one in (*pod.inits, *pod.containers) if one.instance is not None]


def _container(
    instance: Instance,
    usage: Usage,
    layer: Layer,
    sizes: Mapping[tuple[str, ...], int],
    gpus: Mapping[str, GpuStats],
) -> ContainerStats:
    stats: ContainerStats = {
        "name": layer.name,
        "started_at": instance.started_at,
        "cpu": usage.cpu,
        "memory": usage.memory,
        "memory_peak": usage.peak,
        "processes": len(usage.pids),
    }
    if layer.directories in sizes:
        stats["storage"] = sizes[layer.directories] + layer.logs
    if instance.spec.gpus:
        stats["gpus"] = [gpus.get(device, {"device": device}) for device in instance.spec.gpus]
    return stats
